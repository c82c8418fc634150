//! An abdomen with liver, kidneys and spleen, in four contrasts: for CHAOS and for the spleens of MSD.

use crate::demo::phantom::{Random, Scene, Shape};

/// Labels of the objects.
pub(super) const LIVER: u8 = 1;
pub(super) const RIGHT_KIDNEY: u8 = 2;
pub(super) const LEFT_KIDNEY: u8 = 3;
pub(super) const SPLEEN: u8 = 4;

/// Mean values of tissues under one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast {
    air: f64,
    fat: f64,
    muscle: f64,
    liver: f64,
    spleen: f64,
    kidney: f64,
    blood: f64,
    gut: f64,
    gas: f64,
    marrow: f64,
    cortex: f64,
    fluid: f64,
    /// Height of the textures.
    texture: f64,
}

/// Hounsfield units, portal venous phase.
pub(super) const CT: Contrast = Contrast {
    air: -1000.0,
    fat: -98.0,
    muscle: 56.0,
    liver: 112.0,
    spleen: 124.0,
    kidney: 175.0,
    blood: 165.0,
    gut: 38.0,
    gas: -850.0,
    marrow: 190.0,
    cortex: 620.0,
    fluid: 12.0,
    texture: 14.0,
};

/// T1-weighted, water and fat in phase.
pub(super) const T1_IN_PHASE: Contrast = Contrast {
    air: 8.0,
    fat: 640.0,
    muscle: 250.0,
    liver: 400.0,
    spleen: 265.0,
    kidney: 300.0,
    blood: 190.0,
    gut: 230.0,
    gas: 10.0,
    marrow: 420.0,
    cortex: 90.0,
    fluid: 120.0,
    texture: 26.0,
};

/// T1-weighted, water against fat.
pub(super) const T1_OUT_OF_PHASE: Contrast = Contrast { fat: 330.0, marrow: 210.0, liver: 385.0, ..T1_IN_PHASE };

/// T2-weighted, fat suppressed (SPIR).
pub(super) const T2_SPIR: Contrast = Contrast {
    air: 6.0,
    fat: 70.0,
    muscle: 90.0,
    liver: 165.0,
    spleen: 400.0,
    kidney: 460.0,
    blood: 60.0,
    gut: 240.0,
    gas: 8.0,
    marrow: 110.0,
    cortex: 30.0,
    fluid: 700.0,
    texture: 26.0,
};

/// The abdomen of a person, from 90 mm below the middle of the liver to 90 mm above.
pub(super) fn abdomen(person: u64, look: &Contrast) -> Scene {
    let mut random = Random::new(person);
    let mut by = |spread: f64| random.between(-spread, spread);
    let seed = 31 * person;
    let t = look.texture;
    let mut scene = Scene::new(look.air, 1.8, 7.0);

    let body = Shape::ellipsoid([0.0, 0.0, 0.0], [160.0 + by(6.0), 113.0 + by(5.0), 900.0]).warped(seed, 7.0, 90.0);
    scene.paint(body.clone(), look.fat, t);
    scene.paint(body.clone().grown(-13.0 + by(4.0)), look.muscle, t);
    scene.paint(body.clone().grown(-25.0), look.fat, t);
    let cavity = body.grown(-27.0);

    // Ribs are cut aslant.
    for i in 0..14 {
        let (sin, cos) = libm::sincos((f64::from(i) * 24.0 + by(4.0)).to_radians());
        if sin > -0.86 {
            let rib = Shape::turned([cos * 136.0, sin * 91.0, 0.0], [5.0, 11.0, 900.0], f64::from(i) * 24.0 + 8.0);
            scene.paint(rib.clone(), look.cortex, t);
            scene.paint(rib.grown(-2.4), look.marrow, t);
        }
    }
    let spine = Shape::ellipsoid([by(2.0), 62.0, 0.0], [23.0, 18.0, 900.0]);
    let process = Shape::tube(&[[0.0, 86.0, -300.0], [0.0, 86.0, 300.0]], 12.0)
        .or(Shape::tube(&[[-26.0, 84.0, 0.0], [26.0, 84.0, 0.0]], 6.0));
    scene.paint(process.clone().or(spine.clone()), look.cortex, t);
    scene.paint(process.grown(-3.0).or(spine.grown(-2.8)), look.marrow, 2.0 * t);
    scene.paint(Shape::ellipsoid([0.0, 84.0, 0.0], [8.0, 7.0, 900.0]), look.fluid, t);
    for side in [-1.0, 1.0] {
        let psoas = Shape::ellipsoid([side * 38.0, 62.0, -60.0], [14.0, 17.0, 90.0]).warped(seed + 1, 3.0, 25.0);
        scene.paint(psoas, look.muscle, t);
        let back = Shape::ellipsoid([side * 36.0, 92.0, 0.0], [27.0, 14.0, 900.0]).warped(seed + 2, 3.0, 30.0);
        scene.paint(back.within(cavity.clone().grown(16.0)), look.muscle, t);
    }

    for i in 0..9 {
        let centre =
            [45.0 - 14.0 * f64::from(i % 5) + by(16.0), -38.0 + 30.0 * f64::from(i / 5) + by(10.0), -58.0 + by(22.0)];
        let loop_of_gut =
            Shape::ellipsoid(centre, [17.0 + by(4.0), 14.0 + by(3.0), 20.0]).warped(seed + 3 + i as u64, 4.0, 14.0);
        scene.paint(loop_of_gut.clone().within(cavity.clone()), look.gut + 30.0, t);
        scene.paint(loop_of_gut.grown(-3.5).within(cavity.clone()), look.gut - 10.0, 3.0 * t);
    }

    let stomach = Shape::turned([52.0 + by(5.0), -34.0, 28.0], [44.0, 30.0, 42.0], -20.0).warped(seed + 13, 7.0, 35.0);
    let stomach = stomach.within(cavity.clone());
    scene.paint(stomach.clone(), look.muscle + 25.0, t);
    scene.paint(stomach.clone().grown(-4.5), look.gut, 2.0 * t);
    let bubble = Shape::ellipsoid([55.0, -62.0, 30.0], [26.0, 17.0, 30.0]);
    scene.paint(stomach.grown(-5.0).within(bubble), look.gas, 0.0);

    let right = Shape::turned([-62.0 + by(4.0), -8.0, 5.0], [68.0, 66.0 + by(5.0), 82.0], 12.0);
    let left = Shape::ellipsoid([2.0 + by(6.0), -46.0, 30.0], [56.0, 30.0, 46.0]);
    let fossa = Shape::ellipsoid([-18.0, 12.0, -50.0], [34.0, 32.0, 58.0]);
    let liver = right.or(left).warped(seed + 14, 9.0, 48.0).without(fossa).within(cavity.clone());
    scene.paint_object(liver.clone(), look.liver, t, LIVER);
    let vessel = |points: &[[f64; 3]], radius: f64| Shape::tube(points, radius).within(liver.clone().grown(-4.0));
    for (i, radius) in [4.2, 3.4, 3.6, 2.6].into_iter().enumerate() {
        let i = i as f64;
        let path = [
            [-26.0, 22.0, 30.0 - 18.0 * i],
            [-48.0 - 4.0 * i + by(4.0), -2.0 + by(8.0), 22.0 - 20.0 * i],
            [-78.0 - 6.0 * i + by(6.0), -14.0 + 14.0 * i + by(9.0), 10.0 - 22.0 * i],
        ];
        scene.paint_detail(vessel(&path, radius), look.blood, 0.0);
    }
    scene.paint(
        Shape::ellipsoid([-30.0, -52.0, -38.0], [15.0, 21.0, 26.0]).warped(seed + 15, 2.0, 20.0),
        look.fluid,
        t,
    );

    let hilum = Shape::ellipsoid([70.0, 8.0, 30.0], [29.0, 27.0, 34.0]);
    let spleen = Shape::turned([96.0 + by(3.0), 24.0, 24.0], [30.0 + by(3.0), 47.0 + by(4.0), 50.0 + by(5.0)], 14.0);
    let spleen = spleen.warped(seed + 16, 4.0, 26.0).without(hilum).within(cavity.clone());
    scene.paint_object(spleen, look.spleen, t, SPLEEN);

    for (side, z, label) in [(-1.0, -34.0, RIGHT_KIDNEY), (1.0, -22.0, LEFT_KIDNEY)] {
        let centre = [side * (64.0 + by(3.0)), 46.0 + by(3.0), z + by(4.0)];
        let kidney =
            Shape::turned(centre, [25.0 + by(2.0), 30.0 + by(2.0), 54.0], side * 30.0).warped(seed + 17, 2.5, 16.0);
        let sinus_centre = [centre[0] - side * 19.0, centre[1] - 5.0, centre[2]];
        let sinus = Shape::turned(sinus_centre, [14.0, 10.0, 22.0], side * 30.0).warped(seed + 18, 3.0, 10.0);
        scene.paint(kidney.clone().grown(7.0).within(cavity.clone()), look.fat, t);
        scene.paint_object(kidney.clone().without(sinus), look.kidney, t, label);
        scene.paint_detail(kidney.grown(-9.0), 0.5 * (look.kidney + look.muscle), 2.0 * t);
        let pelvis = Shape::ellipsoid(sinus_centre, [13.0, 9.0, 21.0]);
        scene.paint(pelvis, look.fat, t);
    }

    scene.paint(Shape::ellipsoid([11.0, 37.0, 0.0], [10.5, 10.5, 900.0]), look.blood, 0.0);
    scene.paint(Shape::ellipsoid([-20.0, 34.0, 0.0], [13.0, 10.0, 900.0]), look.blood - 8.0, 0.0);
    scene
}
