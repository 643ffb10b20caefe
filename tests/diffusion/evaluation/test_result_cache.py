import os

import numpy as np

from diffusion.evaluation import result_cache


def test_what_is_kept_is_found_and_a_damaged_file_is_made_anew(tmp_path, capsys):
    path = tmp_path / "new" / "a.npz"
    assert result_cache.load_arrays(path) is None and capsys.readouterr().out == ""
    result_cache.save_arrays(path, {"x": np.arange(1000)})
    assert np.array_equal(result_cache.load_arrays(path)["x"], np.arange(1000))
    assert list(path.parent.iterdir()) == [path]
    whole = path.read_bytes()
    np.savez(tmp_path / "of others.npz", x=np.arange(1000))
    others = (tmp_path / "of others.npz").read_bytes()
    np.save(tmp_path / "one.npy", np.arange(1000))
    one = (tmp_path / "one.npy").read_bytes()
    for damaged in (whole[:500], whole[:600] + b"?" + whole[601:], b"nonsense", b"", others, one):
        path.write_bytes(damaged)
        result_cache.print_first_time.cache_clear()
        assert result_cache.load_arrays(path) is None
        assert "damaged" in capsys.readouterr().out


def test_a_pipe_in_its_place_is_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / "a.npz")
    assert result_cache.load_arrays(tmp_path / "a.npz") is None and "damaged" in capsys.readouterr().out
    result_cache.save_arrays(tmp_path / "a.npz", {"x": np.arange(3)})
    assert [*result_cache.load_arrays(tmp_path / "a.npz")] == ["x"]


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    result_cache.save_arrays(tmp_path / "file" / "a.npz", {"x": np.arange(3)})
    assert "cannot be written" in capsys.readouterr().out


def test_a_fingerprint_depends_on_every_part():
    x = np.arange(4.0)
    assert result_cache.fingerprint(x, 1) == result_cache.fingerprint(x.copy(), 1)
    assert len({result_cache.fingerprint(*parts) for parts in [(x, 1), (x + 1, 1), (x, 2), (x.reshape(2, 2), 1)]}) == 4
