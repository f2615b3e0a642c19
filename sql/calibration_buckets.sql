-- Histogram-bucket calibration: cut each model's predicted probabilities into buckets and count what was observed there.
--
-- Reads    predictions(model_index, model, probability, success)   one row per labelled (instruction, model) pair
-- $buckets     most buckets per model
-- $min_count   least labels per bucket; a model with few labels gets fewer buckets
-- $equal_width true: buckets of equal width over [0, 1]; false: of equal mass (about as many labels in each)
-- $smoothing   how many labels with the model's mean rate are added to each bucket, which pulls its rate toward the mean
-- $z           normal quantile of the Wilson interval (1.96: 95 %)
WITH ranked AS (
    SELECT *,
        count(*) OVER (PARTITION BY model_index) AS labels,
        avg(success) OVER (PARTITION BY model_index) AS model_rate,
        row_number() OVER (PARTITION BY model_index ORDER BY probability) AS position
    FROM predictions
),
sized AS (
    SELECT *, greatest(1, least($buckets, labels // $min_count)) AS model_buckets FROM ranked
),
tiled AS (
    SELECT *,
        CASE
            WHEN $equal_width THEN least(model_buckets - 1, floor(probability * model_buckets))
            -- equal probabilities go into one bucket, that of the last of them
            ELSE max((position - 1) * model_buckets // labels) OVER (PARTITION BY model_index, probability)
        END AS tile
    FROM sized
),
counted AS (
    SELECT
        model_index,
        any_value(model) AS model,
        any_value(model_rate) AS model_rate,
        any_value(model_buckets) AS model_buckets,
        tile,
        min(probability) AS least_probability,
        count(*) AS count,
        avg(probability) AS mean_probability,
        sum(success) AS successes
    FROM tiled
    GROUP BY model_index, tile
),
numbered AS (
    SELECT *,
        row_number() OVER by_tile - 1 AS bucket,
        successes / count AS observed_rate,
        successes + $smoothing * model_rate AS smoothed_successes,
        count + $smoothing AS smoothed_count,
        CASE WHEN $equal_width THEN tile / model_buckets ELSE least_probability END AS edge
    FROM counted
    WINDOW by_tile AS (PARTITION BY model_index ORDER BY tile)
)
SELECT
    numbered.model_index::INTEGER AS model_index,
    model,
    bucket::INTEGER AS bucket,
    (CASE WHEN bucket = 0 THEN 0 ELSE edge END)::DOUBLE AS lower,
    coalesce(lead(edge) OVER by_bucket, 1)::DOUBLE AS upper,
    count::BIGINT AS count,
    mean_probability::DOUBLE AS mean_probability,
    observed_rate::DOUBLE AS observed_rate,
    (smoothed_successes / smoothed_count)::DOUBLE AS calibrated,
    smoothed_count::DOUBLE AS weight,   -- labels in the bucket, plus the smoothing
    greatest(0, (observed_rate + $z * $z / (2 * count)
        - $z * sqrt(observed_rate * (1 - observed_rate) / count + $z * $z / (4 * count * count)))
        / (1 + $z * $z / count))::DOUBLE AS wilson_lower,
    least(1, (observed_rate + $z * $z / (2 * count)
        + $z * sqrt(observed_rate * (1 - observed_rate) / count + $z * $z / (4 * count * count)))
        / (1 + $z * $z / count))::DOUBLE AS wilson_upper
FROM numbered
WINDOW by_bucket AS (PARTITION BY numbered.model_index ORDER BY bucket)
ORDER BY numbered.model_index, bucket;
