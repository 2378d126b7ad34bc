"""Several data folders read as one."""

from pathlib import Path

import numpy as np

from recipes.folders import overlay, replaced
from semerge.data.labelled import read_set


def write(folder: Path, task: str, **splits: int) -> None:
    """Splits of n black images, whose first pixel tells the folder."""
    (folder / task).mkdir(parents=True, exist_ok=True)
    (folder / task / "classes.json").write_text('["a", "b"]')
    for split, n in splits.items():
        x = np.zeros((n, 4, 4), dtype=np.uint8)
        np.savez(folder / task / f"{split}.npz", x=x, y=np.arange(n) % 2)


def test_a_later_folder_gives_its_train_and_the_test_split_stays(tmp_path):
    write(tmp_path / "vision", "things", train=20, test=6)
    write(tmp_path / "vision", "signs", train=30, test=8)
    write(tmp_path / "more" / "extra", "things", train=100)
    folders = [tmp_path / "vision", tmp_path / "more" / "extra"]
    for _ in range(2):  # the second time over the first one's links
        data = overlay(folders, tmp_path / "out")
        assert data == tmp_path / "out" / "vision"
        assert len(read_set(data, "things", "train")) == 90
        assert len(read_set(data, "things", "validation")) == 10
        assert len(read_set(data, "things", "test")) == 6
        assert len(read_set(data, "signs", "train")) == 27
    assert replaced(folders) == {"things/classes.json": "extra", "things/train.npz": "extra"}


def test_what_a_folder_no_longer_holds_goes(tmp_path):
    write(tmp_path / "a", "one", train=20, test=6)
    write(tmp_path / "b", "two", train=20, test=6)
    overlay([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    (tmp_path / "b" / "two" / "test.npz").unlink()
    data = overlay([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (data / "two" / "test.npz").is_symlink()
    assert (data / "two" / "train.npz").is_file()


def test_one_folder_is_read_where_it_lies(tmp_path):
    assert overlay([tmp_path / "vision"], tmp_path / "out") == tmp_path / "vision"
    assert replaced([tmp_path / "vision"]) == {}
    assert not (tmp_path / "out").exists()
