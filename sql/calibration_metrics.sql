-- How good the probabilities of each model are.
--
-- Reads    predictions(model_index, model, probability, success, component); related rows have the same component
-- $bins    equal-mass bins of the expected calibration error
--
-- ece           mean over the bins of |observed rate - mean probability|, weighted by count (Naeini et al. 2015)
-- ece_floor     the ece that a perfectly calibrated model would have on average with so few labels: sqrt(2/pi) x the
--               standard error of each bin. That error is the one of independent trials times a dispersion (McCullagh &
--               Nelder 1989), which is above one where related rows succeed together, below where successes are fractions
-- auc           probability that a success is ranked above a failure, ties count one half; NULL with one class only
WITH ranked AS (
    SELECT *,
        count(*) OVER (PARTITION BY model_index) AS labels,
        row_number() OVER (PARTITION BY model_index ORDER BY probability) AS position,
        rank() OVER (PARTITION BY model_index ORDER BY probability) AS first_position,
        count(*) OVER (PARTITION BY model_index, probability) AS ties
    FROM predictions
),
binned AS (
    SELECT *, max((position - 1) * $bins // labels) OVER (PARTITION BY model_index, probability) AS bin FROM ranked
),
centred AS (
    SELECT *, success - probability - avg(success - probability) OVER (PARTITION BY model_index, bin) AS deviation FROM binned
),
observations AS (
    SELECT model_index, bin, sum(deviation) AS deviation, sum(probability * (1 - probability)) AS variance
    FROM centred
    GROUP BY model_index, bin, component
),
dispersions AS (
    SELECT
        model_index,
        -- ten observations of independent trials are added, because few rows say little about the dispersion
        coalesce(
            (sum(deviation ** 2) * count(*) / nullif(sum(variance), 0) + 10) / (count(*) - count(DISTINCT bin) + 10), 1
        ) AS dispersion
    FROM observations
    GROUP BY model_index
),
bins AS (
    SELECT
        model_index, bin,
        count(*) AS bin_count,
        abs(avg(success) - avg(probability)) AS bin_error,
        sqrt(2 / pi() * any_value(dispersion) * sum(probability * (1 - probability))) / count(*) AS bin_floor
    FROM binned
    JOIN dispersions USING (model_index)
    GROUP BY model_index, bin
),
calibration AS (
    SELECT
        model_index,
        sum(bin_count * bin_error) / sum(bin_count) AS ece,
        sum(bin_count * bin_floor) / sum(bin_count) AS ece_floor
    FROM bins
    GROUP BY model_index
),
scores AS (
    SELECT
        model_index,
        any_value(model) AS model,
        count(*) AS labels,
        avg(success) AS success_rate,
        avg(probability) AS mean_probability,
        -avg(success * ln(clipped) + (1 - success) * ln(1 - clipped)) AS log_loss,
        avg((probability - success) ** 2) AS brier,
        -- Mann-Whitney; a success between 0 and 1 counts as that fraction of one
        (sum(success * (first_position + (ties - 1) / 2)) - sum(success) * (sum(success) + 1) / 2)
            / nullif(sum(success) * (count(*) - sum(success)), 0) AS auc
    FROM (SELECT *, least(greatest(probability, 1e-7), 1 - 1e-7) AS clipped FROM ranked)
    GROUP BY model_index
)
SELECT
    model_index::INTEGER AS model_index, model, labels::BIGINT AS labels, success_rate::DOUBLE AS success_rate,
    mean_probability::DOUBLE AS mean_probability, log_loss::DOUBLE AS log_loss, brier::DOUBLE AS brier, auc::DOUBLE AS auc,
    ece::DOUBLE AS ece, ece_floor::DOUBLE AS ece_floor
FROM scores
JOIN calibration USING (model_index)
ORDER BY model_index;
