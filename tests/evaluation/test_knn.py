import numpy as np

from routing_assets.evaluation.knn import knn_estimates


def circle(angle):
    return np.column_stack([np.cos(angle), np.sin(angle)])


def world(seed, n):
    angle = np.random.default_rng(seed).uniform(0, np.pi, n)
    rate = np.column_stack([0.5 + 0.45 * np.cos(4 * angle), np.full(n, 0.7)])
    success = (np.random.default_rng(seed + 100).random((n, 2)) < rate).astype(np.float32)
    return circle(angle), success, rate


def test_recovers_rates_that_vary_over_the_space_and_pools_where_they_do_not():
    train, success, _ = world(0, 3000)
    validation, validation_success, _ = world(1, 400)
    test, _, rate = world(2, 200)
    estimate, tuned = knn_estimates(train, success, validation, validation_success, test)
    assert np.abs(estimate - rate).mean() < 0.06
    assert 16 <= tuned.neighbours < 3000


def test_equal_embeddings_get_the_smoothed_rate_of_all():
    train, success = np.tile([[1.0, 0.0]], (4, 1)), np.array([[1], [1], [1], [0]], dtype=np.float32)
    estimate, _ = knn_estimates(train, success, train[:2], np.array([[1], [0]], np.float32), train[:1])
    assert 0.5 <= estimate[0, 0] <= 1.0


def test_unlabelled_neighbours_do_not_vote():
    train, success, _ = world(0, 500)
    validation, validation_success, _ = world(1, 100)
    holed = np.vstack([success, np.full_like(success, np.nan)])
    same, _ = knn_estimates(np.vstack([train, -train]), holed, validation, validation_success, validation)
    assert np.isfinite(same).all()
    plain, _ = knn_estimates(train, success, validation, validation_success, validation)
    assert np.abs(same - plain).mean() < 0.1


def test_few_training_rows_are_enough():
    train, success, _ = world(0, 3)
    estimate, tuned = knn_estimates(train, success, train, success, train)
    assert tuned.neighbours <= 3
    assert estimate.shape == (3, 2)
    assert ((estimate >= 0) & (estimate <= 1)).all()
