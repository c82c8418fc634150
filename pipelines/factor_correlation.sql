/* Plain Spearman correlation of Dice with each of the five factors, the number of masks and their mean Dice, per
   condition:

       medcosmos query data/ "$(cat pipelines/factor_correlation.sql)"

   Spearman's rho is the correlation of ranks; ties share their mean rank. SQL has no matrix inverse, so use
   `medcosmos analyze` or factor_correlation.py for the partial correlation, which controls for the other factors, its
   p-values and the intervals over patients. Here each factor is considered alone, as in the column plain_rho of `analyze`;
   masks without an intensity difference (they fill their box) are left out in both. */
WITH joined AS (
  SELECT m.model, m.strategy, m.variant, m.choice, m.dice,
         f.size_px, f.aspect_ratio, f.intensity_difference_abs, f.boundary_complexity, f.modality_index
  FROM metrics AS m JOIN factors AS f ON m.mask_id = f.mask_id
  WHERE m.excluded = FALSE AND f.intensity_difference_abs IS NOT NULL
),
ranked AS (
  SELECT model, strategy, variant, choice, dice,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY dice)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, dice) / 2.0 AS rank_dice,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY size_px)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, size_px) / 2.0 AS rank_size,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY aspect_ratio)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, aspect_ratio) / 2.0 AS rank_aspect,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY intensity_difference_abs)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, intensity_difference_abs) / 2.0 AS rank_intensity,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY boundary_complexity)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, boundary_complexity) / 2.0 AS rank_boundary,
    RANK() OVER (PARTITION BY model, strategy, variant, choice ORDER BY modality_index)
      + COUNT(*) OVER (PARTITION BY model, strategy, variant, choice, modality_index) / 2.0 AS rank_modality
  FROM joined
)
SELECT model, strategy, variant, choice, COUNT(*) AS n, AVG(dice) AS dice,
  CORR(rank_dice, rank_size) AS size,
  CORR(rank_dice, rank_aspect) AS aspect,
  CORR(rank_dice, rank_intensity) AS intensity,
  CORR(rank_dice, rank_boundary) AS boundary,
  CORR(rank_dice, rank_modality) AS modality
FROM ranked
GROUP BY model, strategy, variant, choice
ORDER BY model, strategy, variant, choice
