//! A tree of retinal vessels: four arcades that leave the optic disc, bend around the macula, and branch.

use super::noise::Random;

/// A piece of vessel, in units of the field's radius from its centre.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// One end.
    pub from: [f64; 2],
    /// The other.
    pub to: [f64; 2],
    /// Radius.
    pub radius: f64,
    /// Veins are darker and wider than arteries.
    pub vein: bool,
}

/// Length of a segment.
const STEP: f64 = 0.03;

/// Grows the vessels of an eye whose optic disc is at `disc`; the macula is towards the centre.
pub fn tree(disc: [f64; 2], random: &mut Random) -> Vec<Segment> {
    let mut segments = Vec::new();
    let towards_macula = if disc[0] < 0.0 { 0.0 } else { 180.0 };
    for (arcade, up) in [(0, 1.0), (1, -1.0)] {
        for vein in [false, true] {
            // Nasal vessels are short and straight, temporal ones wrap around the macula.
            for temporal in [true, false] {
                let spread = if temporal { random.between(62.0, 80.0) } else { random.between(115.0, 150.0) };
                let side = if towards_macula == 0.0 { 1.0 } else { -1.0 };
                let branch = Branch {
                    at: [disc[0] + random.between(-0.02, 0.02), disc[1] + random.between(-0.02, 0.02)],
                    heading: towards_macula - up * side * (spread + 6.0 * f64::from(arcade)),
                    bend: if temporal { up * side * random.between(1.3, 2.0) } else { random.between(-0.6, 0.6) },
                    radius: random.between(0.012, 0.015)
                        * if vein { 1.25 } else { 0.95 }
                        * if temporal { 1.0 } else { 0.7 },
                    vein,
                };
                branch.grow(random, &mut segments);
            }
        }
    }
    segments
}

struct Branch {
    at: [f64; 2],
    /// Degrees.
    heading: f64,
    /// Degrees a step.
    bend: f64,
    radius: f64,
    vein: bool,
}

impl Branch {
    /// Grows until it leaves the field or is too thin to see, with side branches.
    fn grow(mut self, random: &mut Random, out: &mut Vec<Segment>) {
        let mut side = if random.between(0.0, 1.0) < 0.5 { 1.0 } else { -1.0 };
        let mut next_branch = random.between(4.0, 8.0);
        let mut wander = 0.0;
        for step in 0..70 {
            let outside = self.at[0] * self.at[0] + self.at[1] * self.at[1] > 1.05;
            if outside || self.radius < 0.0022 {
                return;
            }
            wander = 0.7 * wander + random.between(-3.5, 3.5);
            self.heading += self.bend + wander;
            let (sin, cos) = libm::sincos(self.heading.to_radians());
            let to = [self.at[0] + STEP * cos, self.at[1] + STEP * sin];
            out.push(Segment { from: self.at, to, radius: self.radius, vein: self.vein });
            self.at = to;
            self.radius *= 0.985;
            if f64::from(step) > next_branch {
                let branch = Branch {
                    at: self.at,
                    heading: self.heading + side * random.between(30.0, 60.0),
                    bend: -side * random.between(0.0, 1.2),
                    radius: self.radius * random.between(0.5, 0.75),
                    vein: self.vein,
                };
                branch.grow(random, out);
                self.radius *= 0.9;
                side = -side;
                next_branch += random.between(4.0, 8.0);
            }
        }
    }
}

/// How deep in vessels each pixel lies: the largest of `radius - distance` in pixels, over the segments that `keep`
/// takes; far below 0 where there is no vessel near.
pub fn depth_map(
    segments: &[Segment],
    [width, height]: [usize; 2],
    centre: [f64; 2],
    radius: f64,
    keep: impl Fn(&Segment) -> bool,
) -> Vec<f64> {
    const NONE: f64 = -1000.0;
    // Pixels around a segment that are still told their distance: enough for a soft edge.
    const RIM: f64 = 3.0;
    let mut map = vec![NONE; width * height];
    for segment in segments.iter().filter(|s| keep(s)) {
        let pixel = |p: [f64; 2]| [centre[0] + radius * p[0], centre[1] + radius * p[1]];
        let (a, b, r) = (pixel(segment.from), pixel(segment.to), radius * segment.radius);
        let range = |axis: usize, size: usize| {
            let low = (a[axis].min(b[axis]) - r - RIM).max(0.0) as usize;
            let high = (a[axis].max(b[axis]) + r + RIM + 1.0).clamp(0.0, size as f64) as usize;
            low..high
        };
        let ab = [b[0] - a[0], b[1] - a[1]];
        let length = (ab[0] * ab[0] + ab[1] * ab[1]).max(1e-12);
        for y in range(1, height) {
            for x in range(0, width) {
                let ap = [x as f64 - a[0], y as f64 - a[1]];
                let t = ((ap[0] * ab[0] + ap[1] * ab[1]) / length).clamp(0.0, 1.0);
                let gap = [ap[0] - t * ab[0], ap[1] - t * ab[1]];
                let depth = r - (gap[0] * gap[0] + gap[1] * gap[1]).sqrt();
                let cell = &mut map[y * width + x];
                *cell = cell.max(depth);
            }
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vessels_cover_the_share_of_a_real_fundus() {
        for seed in 0..8 {
            let segments = tree([0.45, 0.02], &mut Random::new(seed));
            let map = depth_map(&segments, [300, 300], [150.0, 150.0], 145.0, |_| true);
            let share = map.iter().filter(|d| **d > 0.0).count() as f64 / (3.1416 * 145.0 * 145.0);
            // About an eighth of the field in DRIVE.
            assert!((0.03..0.25).contains(&share), "seed {seed}: {share}");
        }
    }
}
