from diffusion.evaluation.controls import pure_noise


def test_noise_is_faint_in_its_first_images_and_black_and_white_in_its_last():
    noise = pure_noise((3, 16, 16), 9)
    assert noise.shape == (9, 3, 16, 16)
    deviations = noise.float().flatten(1).std(1)
    assert (deviations.diff() > 0).all() and abs(deviations[0] - 0.25 * 127.5) < 3
    assert ((noise[-1] == 0) | (noise[-1] == 255)).float().mean() > 0.75
