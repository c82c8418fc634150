//! Shapes by their signed distance: negative inside, in millimetres, exact near the surface and a good guess elsewhere
//! (the technique is known from computer graphics as signed distance functions).

use super::noise::Noise;

/// A shape in space.
#[derive(Clone, Debug)]
pub enum Shape {
    /// An ellipsoid, turned about the z axis.
    Ellipsoid {
        /// Centre.
        centre: [f64; 3],
        /// Half axes.
        radii: [f64; 3],
        /// Degrees from x towards y.
        turn: f64,
    },
    /// Everything within `radius` of a line through points.
    Tube {
        /// Corners of the line.
        points: Vec<[f64; 3]>,
        /// Radius.
        radius: f64,
    },
    /// Everything between two heights.
    Slab {
        /// Lower z.
        low: f64,
        /// Upper z.
        high: f64,
    },
    /// In any of several.
    Union(Vec<Shape>),
    /// In the first and not in the second.
    Without(Box<Shape>, Box<Shape>),
    /// In both.
    Within(Box<Shape>, Box<Shape>),
    /// Grown by a distance on all sides (shrunk where it is negative).
    Grown(Box<Shape>, f64),
    /// With a surface that wanders, as those of organs do.
    Warped {
        /// What is warped.
        shape: Box<Shape>,
        /// How.
        noise: Noise,
        /// Farthest that a point moves along each axis.
        amplitude: f64,
        /// Width of the bulges.
        scale: f64,
    },
}

impl Shape {
    /// An ellipsoid along the axes.
    pub fn ellipsoid(centre: [f64; 3], radii: [f64; 3]) -> Shape {
        Shape::Ellipsoid { centre, radii, turn: 0.0 }
    }

    /// An ellipsoid turned about z by degrees.
    pub fn turned(centre: [f64; 3], radii: [f64; 3], turn: f64) -> Shape {
        Shape::Ellipsoid { centre, radii, turn }
    }

    /// A tube through points.
    pub fn tube(points: &[[f64; 3]], radius: f64) -> Shape {
        Shape::Tube { points: points.to_vec(), radius }
    }

    /// This shape or another.
    pub fn or(self, other: Shape) -> Shape {
        Shape::Union(vec![self, other])
    }

    /// This shape but not another.
    pub fn without(self, other: Shape) -> Shape {
        Shape::Without(Box::new(self), Box::new(other))
    }

    /// What this shape and another share.
    pub fn within(self, other: Shape) -> Shape {
        Shape::Within(Box::new(self), Box::new(other))
    }

    /// This shape, larger by `by` on all sides.
    pub fn grown(self, by: f64) -> Shape {
        Shape::Grown(Box::new(self), by)
    }

    /// This shape with bulges about `scale` wide and up to `amplitude` high.
    pub fn warped(self, seed: u64, amplitude: f64, scale: f64) -> Shape {
        Shape::Warped { shape: Box::new(self), noise: Noise::new(seed), amplitude, scale }
    }

    /// Signed distance of a point to the surface, negative inside.
    pub fn distance(&self, p: [f64; 3]) -> f64 {
        self.distance_up_to(p, f64::INFINITY)
    }

    /// As [`distance`](Self::distance) where that is at most `reach`, else anything above it: most of space is far from
    /// most shapes, and need not know how far.
    pub(crate) fn distance_up_to(&self, p: [f64; 3], reach: f64) -> f64 {
        match self {
            Shape::Ellipsoid { centre, radii, turn } => ellipsoid(p, *centre, *radii, *turn),
            Shape::Tube { points, radius } => {
                let segments = points.windows(2).map(|ends| to_segment(p, ends[0], ends[1]));
                segments.fold(f64::INFINITY, f64::min) - radius
            }
            Shape::Slab { low, high } => (low - p[2]).max(p[2] - high),
            Shape::Union(shapes) => {
                shapes.iter().fold(f64::INFINITY, |near, s| near.min(s.distance_up_to(p, reach.min(near))))
            }
            Shape::Without(a, b) => {
                let a = a.distance_up_to(p, reach);
                // The second only matters where the point is deeper in it than in the first.
                if a > reach { a } else { a.max(-b.distance_up_to(p, -a)) }
            }
            Shape::Within(a, b) => {
                let a = a.distance_up_to(p, reach);
                if a > reach { a } else { a.max(b.distance_up_to(p, reach)) }
            }
            Shape::Grown(shape, by) => shape.distance_up_to(p, reach + by) - by,
            Shape::Warped { shape, noise, amplitude, scale } => {
                // Points move by less than twice the amplitude, and deep inside nobody sees whether they do.
                let farthest = 2.0 * amplitude;
                let plain = shape.distance_up_to(p, reach + farthest);
                if plain > reach + farthest || plain < -2.0 * farthest {
                    return plain;
                }
                let q = p.map(|v| v / scale);
                let (coarse, fine) = (noise.smooth_vector(q), noise.smooth_vector(q.map(|v| 2.0 * v + 57.0)));
                let moved = std::array::from_fn(|i| p[i] + amplitude * (2.0 * coarse[i] + fine[i]) / 3.0);
                shape.distance_up_to(moved, reach)
            }
        }
    }
}

/// The usual estimate: exact on the surface, and of the right slope there.
fn ellipsoid(p: [f64; 3], centre: [f64; 3], radii: [f64; 3], turn: f64) -> f64 {
    let [x, y, z]: [f64; 3] = std::array::from_fn(|i| p[i] - centre[i]);
    let (sin, cos) = if turn == 0.0 { (0.0, 1.0) } else { libm::sincos(turn.to_radians()) };
    let q = [x * cos + y * sin, y * cos - x * sin, z];
    let length = |f: &dyn Fn(usize) -> f64| (0..3).map(|i| f(i) * f(i)).sum::<f64>().sqrt();
    let relative = length(&|i| q[i] / radii[i]);
    let gradient = length(&|i| q[i] / (radii[i] * radii[i]));
    if gradient == 0.0 {
        return -radii.into_iter().fold(f64::INFINITY, f64::min);
    }
    relative * (relative - 1.0) / gradient
}

fn to_segment(p: [f64; 3], a: [f64; 3], b: [f64; 3]) -> f64 {
    let ab: [f64; 3] = std::array::from_fn(|i| b[i] - a[i]);
    let ap: [f64; 3] = std::array::from_fn(|i| p[i] - a[i]);
    let dot = |u: [f64; 3], v: [f64; 3]| u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
    let t = (dot(ap, ab) / dot(ab, ab).max(1e-12)).clamp(0.0, 1.0);
    let gap: [f64; 3] = std::array::from_fn(|i| ap[i] - t * ab[i]);
    dot(gap, gap).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_right_on_balls_and_tubes() {
        let ball = Shape::ellipsoid([1.0, 0.0, 0.0], [2.0; 3]);
        assert!((ball.distance([4.0, 0.0, 0.0]) - 1.0).abs() < 1e-12);
        assert_eq!(ball.distance([1.0, 0.0, 0.0]), -2.0);
        let tube = Shape::tube(&[[0.0; 3], [10.0, 0.0, 0.0], [10.0, 5.0, 0.0]], 1.0);
        assert!((tube.distance([5.0, 3.0, 0.0]) - 2.0).abs() < 1e-12);
        assert!((tube.distance([10.0, 5.0, 4.0]) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn shapes_are_combined_and_turned() {
        let long = Shape::turned([0.0; 3], [4.0, 1.0, 1.0], 90.0);
        assert!(long.distance([0.0, 3.5, 0.0]) < 0.0 && long.distance([3.5, 0.0, 0.0]) > 0.0);
        let ball = Shape::ellipsoid([0.0; 3], [2.0; 3]);
        let hollow = ball.clone().without(Shape::ellipsoid([0.0; 3], [1.0; 3]));
        assert!(hollow.distance([0.5, 0.0, 0.0]) > 0.0 && hollow.distance([1.5, 0.0, 0.0]) < 0.0);
        let cap = ball.clone().within(Shape::Slab { low: 1.0, high: 9.0 });
        assert!(cap.distance([0.0, 0.0, 0.5]) > 0.0 && cap.distance([0.0, 0.0, 1.5]) < 0.0);
        assert!(ball.grown(1.0).distance([2.5, 0.0, 0.0]) < 0.0);
    }

    #[test]
    fn a_short_reach_changes_nothing_within_it() {
        let ball = |x: f64, r: f64| Shape::ellipsoid([x, 0.0, 0.0], [r; 3]);
        let shape = ball(0.0, 6.0).warped(3, 1.5, 4.0).or(ball(7.0, 3.0)).without(ball(2.0, 2.5).grown(0.5));
        let shape = shape.within(ball(1.0, 7.0).warped(4, 1.0, 5.0).grown(1.0));
        for i in 0..4000 {
            let p = [f64::from(i % 20) - 9.7, f64::from(i / 20 % 20) - 9.7, f64::from(i / 400) - 4.7];
            for reach in [0.0, 0.8, 2.5] {
                let (exact, short) = (shape.distance(p), shape.distance_up_to(p, reach));
                let same = if exact <= reach { exact == short } else { short > reach };
                assert!(same, "{p:?} up to {reach}: {short} for {exact}");
            }
        }
    }

    #[test]
    fn a_warp_moves_the_surface_no_farther_than_told() {
        let ball = Shape::ellipsoid([0.0; 3], [10.0; 3]);
        let warped = ball.clone().warped(5, 1.0, 6.0);
        let mut moved = 0.0f64;
        for i in 0..500 {
            let (s, c) = libm::sincos(f64::from(i) * 0.37);
            let p = [10.0 * c, 10.0 * s, 0.0];
            moved = moved.max(warped.distance(p).abs());
        }
        assert!(moved > 0.3 && moved <= 3f64.sqrt() + 0.2, "{moved}");
    }
}
