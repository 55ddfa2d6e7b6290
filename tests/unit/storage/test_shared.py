"""The shared folder: filled once, tied to one state folder, and refused where it is another or not there."""

from pathlib import Path

import pytest

from falaj.kernel.errors import ProjectError
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.eventlog.segments import SegmentWriter, read_segment
from falaj.storage.folder import StateFolder
from falaj.storage.shared import MARK, is_to_be_filled, read_mark, refuse_foreign, share


def project(folder: Path, shared: str | None = "shared") -> StateFolder:
    state = StateFolder(folder / "state", folder / shared if shared else None)
    state.create()
    return state


def begun(folder: Path) -> tuple[str, list[str]]:
    """Let a project keep a model, a decision and counts; then share them, and return what is said."""
    alone = project(folder, None)
    share(alone, "fraud")
    digest = LocalBlobs(alone.blobs).put(b"model")
    writer = SegmentWriter(alone.predictions, "local", fsync_ms=0)
    writer.write([b"decision"])
    writer.close()
    (alone.stats / "gateway-0.msgpack").write_bytes(b"counts")
    said: list[str] = []
    share(project(folder), "fraud", said.append)
    return digest, said


def test_what_a_project_has_is_brought_over_once_and_said(tmp_path: Path) -> None:
    digest, said = begun(tmp_path)
    state = project(tmp_path)
    assert LocalBlobs(state.blobs).get(digest) == LocalBlobs(state.own_blobs).get(digest) == b"model"
    assert read_segment(state.predictions / "local-00000001.seg")[0] == [b"decision"]
    assert list(state.own_predictions.glob("*")) == []  # the next one there would bear the same name
    assert (state.stats / "gateway-0.msgpack").read_bytes() == b"counts"
    assert [line.split(" ")[0] for line in said] == ["1", "2"]
    assert not is_to_be_filled(state)
    LocalBlobs(state.blobs).delete(digest)  # as the removal of a version does
    said.clear()
    share(state, "fraud", said.append)
    assert (LocalBlobs(state.blobs).exists(digest), said) == (False, [])


def test_a_start_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    digest, _ = begun(tmp_path)
    state = project(tmp_path)
    (state.shared_mark).write_text(state.shared_mark.read_text() + " moving")
    LocalBlobs(state.blobs).delete(digest)
    (state.own_predictions / "local-00000001.seg").write_bytes((state.predictions / "local-00000001.seg").read_bytes())
    for mark_is_there in (True, False):
        assert is_to_be_filled(state) == mark_is_there
        if mark_is_there:
            (tmp_path / "shared" / MARK).unlink()
        share(state, "fraud")
    assert LocalBlobs(state.blobs).exists(digest)
    assert list(state.own_predictions.glob("*")) == []


def test_nothing_is_taken_over_that_has_the_name_and_other_bytes(tmp_path: Path) -> None:
    state = project(tmp_path)
    (tmp_path / "shared" / "stats").mkdir(parents=True)
    (state.stats / "gateway-0.msgpack").write_bytes(b"newer")
    state.own_stats.mkdir()
    (state.own_stats / "gateway-0.msgpack").write_bytes(b"old")
    share(state, "fraud")
    assert (state.stats / "gateway-0.msgpack").read_bytes() == b"newer"
    assert (state.own_stats / "gateway-0.msgpack").read_bytes() == b"old"


def test_a_live_writer_keeps_the_log_where_it_is(tmp_path: Path) -> None:
    writer = SegmentWriter(project(tmp_path, None).predictions, "gateway-0", fsync_ms=0)
    with pytest.raises(ProjectError, match="still writes"):
        share(project(tmp_path), "fraud")
    writer.close()
    share(project(tmp_path), "fraud")


def test_a_folder_that_is_not_the_projects_is_refused(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(ProjectError, match="is not the folder") as raised:
        share(project(tmp_path, "mistyped"), "fraud")
    assert "mount" in raised.value.hint
    assert not (tmp_path / "mistyped").exists()
    with pytest.raises(ProjectError, match=r"storage\.shared is empty"):
        share(project(tmp_path, None), "fraud")
    other = StateFolder(tmp_path / "other", tmp_path / "shared")
    other.create()
    with pytest.raises(ProjectError, match="of project 'fraud' with another state folder"):
        share(other, "churn")
    share(project(tmp_path), "renamed")
    mark = read_mark(tmp_path / "shared")
    assert (mark is not None) and mark.project == "renamed"
    (tmp_path / "shared" / MARK).write_text("{")
    with pytest.raises(ProjectError, match="cannot be read"):
        share(project(tmp_path), "fraud")


def test_a_gateway_of_its_own_refuses_what_is_not_the_projects(tmp_path: Path) -> None:
    begun(tmp_path)
    refuse_foreign(project(tmp_path / "gateway", "../shared"), "fraud")
    refuse_foreign(project(tmp_path / "gateway", None), "fraud")
    with pytest.raises(ProjectError, match="'fraud', and this gateway is of 'frod'") as raised:
        refuse_foreign(project(tmp_path / "gateway", "../shared"), "frod")
    assert "FALAJ_PROJECT_NAME" in raised.value.hint
    (tmp_path / "empty").mkdir()
    for folder, said in (("../mistyped", "does not exist"), ("../empty", "is no shared folder")):
        with pytest.raises(ProjectError, match=said) as raised:
            refuse_foreign(project(tmp_path / "gateway", folder), "fraud")
        assert "FALAJ_STORAGE_SHARED" in raised.value.hint
    assert not (tmp_path / "mistyped").exists()
