//! CHAOS: `CHAOS_Train_Sets.zip`. CT is unsigned with an intercept of -1000, its files run from head to feet against
//! the rule that positions ascend, and its masks are PNGs of one bit named by number. MRI masks are grey values in PNGs
//! with the images' names; the two T1 phases share theirs.

use std::fs;
use std::io;
use std::path::Path;

use super::abdomen::{
    CT, Contrast, LEFT_KIDNEY, LIVER, RIGHT_KIDNEY, SPLEEN, T1_IN_PHASE, T1_OUT_OF_PHASE, T2_SPIR, abdomen,
};
use super::{content_folder, in_folder, label_page, to_u16, volume};
use crate::demo::phantom::{Acquisition, Grid, Rendered};
use crate::demo::write::{self, DicomFacts};
use crate::image::{Image, Scaling};

pub(super) fn write(folder: &Path) -> io::Result<()> {
    let content = content_folder(folder, "CHAOS_Train_Sets")?;
    // Two ways of naming files, as in the release.
    ct(&content, 1, &|i| format!("i{i:04},0000b.dcm"))?;
    ct(&content, 21, &|i| format!("IMG-0001-{:05}.dcm", i + 1))?;
    mr(&content, 2)?;
    write::zip(&folder.join("CHAOS_Train_Sets.zip"), &content)
}

fn ct(content: &Path, patient: u64, name: &dyn Fn(usize) -> String) -> io::Result<()> {
    let mut grid = Grid::centred([256, 256, 7], [1.4, 1.4, -18.0]);
    // The couch is not where the patient's middle is.
    grid.first[2] += 2.0;
    let rendered = abdomen(100 + patient, &CT).render(&grid, Acquisition { noise: 16.0, bias: 0.0, seed: patient });
    let stored: Vec<f64> = rendered.values.iter().map(|hu| (hu + 1000.0).clamp(0.0, 4095.0)).collect();
    let image = Image {
        geometry: Some(grid.geometry()),
        scaling: Scaling { slope: 1.0, intercept: -1000.0 },
        ..volume(grid.size, to_u16(&stored))
    };
    let base = content.join(format!("Train_Sets/CT/{patient}"));
    let names: Vec<String> = (0..grid.size[2]).map(name).collect();
    series(&base.join("DICOM_anon"), &names, &image, "CT", &format!("CHAOS^CT_SET_{patient}"))?;
    for z in 0..grid.size[2] {
        let mask = Image { bits: 1, ..label_page(&rendered, grid.size, z, |label| u8::from(label == LIVER)) };
        write::image(&in_folder(&base, &format!("Ground/liver_GT_{z:03}.png"))?, &mask)?;
    }
    Ok(())
}

fn mr(content: &Path, patient: u64) -> io::Result<()> {
    let grid = Grid::centred([256, 256, 5], [1.45, 1.45, 26.0]);
    let base = content.join(format!("Train_Sets/MR/{patient}"));
    let device = |seed| Acquisition { noise: 14.0, bias: 0.3, seed };
    let render = |look: &Contrast, seed| abdomen(200 + patient, look).render(&grid, device(seed));
    let names = |series: u32, first: usize, step: usize| -> Vec<String> {
        (0..grid.size[2]).map(|i| format!("IMG-{series:04}-{:05}.dcm", first + step * i)).collect()
    };
    let id = format!("CHAOS^MR_SET_{patient}");
    let put = |place: &str, names: &[String], rendered: &Rendered| {
        let image = Image { geometry: Some(grid.geometry()), bits: 12, ..volume(grid.size, to_u16(&rendered.values)) };
        series(&base.join(place), names, &image, "MR", &id)
    };

    // In-phase images have the even numbers, and give the masks their names.
    let (in_names, out_names) = (names(4, 2, 2), names(4, 1, 2));
    let in_phase = render(&T1_IN_PHASE, 11);
    put("T1DUAL/DICOM_anon/InPhase", &in_names, &in_phase)?;
    put("T1DUAL/DICOM_anon/OutPhase", &out_names, &render(&T1_OUT_OF_PHASE, 12))?;
    masks(&base.join("T1DUAL/Ground"), &in_names, &in_phase, grid.size)?;
    let t2_names = names(2, 1, 1);
    let t2 = render(&T2_SPIR, 13);
    put("T2SPIR/DICOM_anon", &t2_names, &t2)?;
    masks(&base.join("T2SPIR/Ground"), &t2_names, &t2, grid.size)
}

fn series(folder: &Path, names: &[String], image: &Image, modality: &str, patient: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // One UID for each folder, from its path: no two series share it, and no run changes it.
    let place = folder.to_string_lossy();
    let place = place.rsplit_once("Train_Sets").map_or("", |(_, inside)| inside);
    let number = place.bytes().fold(1469598103934665603u64, |h, b| (h ^ u64::from(b)).wrapping_mul(1099511628211));
    let facts = DicomFacts {
        modality: modality.into(),
        patient_id: patient.into(),
        series_uid: format!("2.25.{number}"),
        ..DicomFacts::default()
    };
    write::dicom_slices(folder, names, image, &facts)
}

fn masks(folder: &Path, names: &[String], rendered: &Rendered, size: [usize; 3]) -> io::Result<()> {
    let grey = |label: u8| match label {
        LIVER => 63,
        RIGHT_KIDNEY => 126,
        LEFT_KIDNEY => 189,
        SPLEEN => 252,
        _ => 0,
    };
    for (z, name) in names.iter().enumerate() {
        let path = in_folder(folder, &name.replace(".dcm", ".png"))?;
        write::image(&path, &label_page(rendered, size, z, grey))?;
    }
    Ok(())
}
