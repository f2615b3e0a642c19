-- The points of a reliability diagram: equal-width bins of the probability, per model, with Wilson intervals.
--
-- Reads    predictions(model_index, model, probability, success)
-- $bins    bins over [0, 1];  $z  normal quantile of the interval
WITH counted AS (
    SELECT
        model_index,
        any_value(model) AS model,
        least($bins - 1, floor(probability * $bins)) AS bin,
        count(*) AS count,
        avg(probability) AS mean_probability,
        avg(success) AS observed_rate
    FROM predictions
    GROUP BY model_index, bin
)
SELECT
    model_index::INTEGER AS model_index,
    model,
    bin::INTEGER AS bin,
    (bin / $bins)::DOUBLE AS lower,
    ((bin + 1) / $bins)::DOUBLE AS upper,
    count::BIGINT AS count,
    mean_probability::DOUBLE AS mean_probability,
    observed_rate::DOUBLE AS observed_rate,
    greatest(0, (observed_rate + $z * $z / (2 * count)
        - $z * sqrt(observed_rate * (1 - observed_rate) / count + $z * $z / (4 * count * count)))
        / (1 + $z * $z / count))::DOUBLE AS wilson_lower,
    least(1, (observed_rate + $z * $z / (2 * count)
        + $z * sqrt(observed_rate * (1 - observed_rate) / count + $z * $z / (4 * count * count)))
        / (1 + $z * $z / count))::DOUBLE AS wilson_upper
FROM counted
ORDER BY model_index, bin;
