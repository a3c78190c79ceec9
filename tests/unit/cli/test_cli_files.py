"""`files` says where the documentation and the example DAGs are, and copies the latter without harming anything."""

from __future__ import annotations

from pathlib import Path

from support.commands import Run

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(path.name for path in (ROOT / "dags").glob("*.py"))


def test_it_says_where_the_pages_and_the_examples_are(run: Run) -> None:
    done = run("files")
    assert done.status == 0
    assert str(ROOT / "docs" / "on-call.md") in done.out
    assert [name for name in EXAMPLES if name not in done.out] == []
    found = run("files", "-o", "json").json
    assert Path(found["docs"]).is_dir()
    assert [Path(each).name for each in found["dags"]] == EXAMPLES


def test_it_copies_the_examples_into_a_new_folder_and_may_be_repeated(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dags"
    for _ in range(2):
        assert run("files", "--copy-dags-to", str(folder)).status == 0
        assert sorted(path.name for path in folder.iterdir()) == EXAMPLES
    assert (folder / EXAMPLES[0]).read_bytes() == (ROOT / "dags" / EXAMPLES[0]).read_bytes()


def test_it_copies_nothing_where_somebody_has_changed_an_example(run: Run, tmp_path: Path) -> None:
    (tmp_path / EXAMPLES[-1]).write_text("changed")
    done = run("files", "--copy-dags-to", str(tmp_path))
    assert done.status == 2
    assert done.out == ""
    assert EXAMPLES[-1] in done.err
    assert [path.name for path in tmp_path.iterdir()] == [EXAMPLES[-1]]
    assert (tmp_path / EXAMPLES[-1]).read_text() == "changed"


def test_a_folder_that_is_a_file_is_an_error_of_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("files", "--copy-dags-to", str(tmp_path / "file"))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "can't be copied" in done.err
