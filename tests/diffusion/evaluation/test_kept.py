import numpy as np

from diffusion.evaluation import kept


def test_what_is_kept_is_found_and_a_damaged_file_is_made_anew(tmp_path, capsys):
    path = tmp_path / "new" / "a.npz"
    assert kept.read(path) is None and capsys.readouterr().out == ""
    kept.keep(path, {"x": np.arange(1000)})
    assert np.array_equal(kept.read(path)["x"], np.arange(1000))
    assert list(path.parent.iterdir()) == [path]
    whole = path.read_bytes()
    for damaged in (whole[:500], whole[:600] + b"?" + whole[601:], b"nonsense", b""):
        path.write_bytes(damaged)
        kept.say.cache_clear()
        assert kept.read(path) is None
        assert "damaged" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    kept.keep(tmp_path / "file" / "a.npz", {"x": np.arange(3)})
    assert "cannot be written" in capsys.readouterr().out


def test_a_fingerprint_depends_on_every_part():
    x = np.arange(4.0)
    assert kept.fingerprint(x, 1) == kept.fingerprint(x.copy(), 1)
    assert len({kept.fingerprint(*parts) for parts in [(x, 1), (x + 1, 1), (x, 2), (x.reshape(2, 2), 1)]}) == 4
