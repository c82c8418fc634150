//! The modality as a factor: a fixed index in the order in which the paper lists its 18 modalities (protocol 1 and 5).
//!
//! The index is nominal. Its order means nothing, so that a rank correlation with it is reported only because the paper
//! does.

/// The 18 modalities in the protocol's order, by the names that specs use.
pub const MODALITIES: [&str; 18] = [
    "CT",
    "MRI",
    "T1W MRI",
    "T2W MRI",
    "ADC MRI",
    "Cine-MRI",
    "CMR",
    "DW MRI",
    "T1-Gd MRI",
    "T2-FLAIR MRI",
    "Histopathology",
    "Electron Microscopy",
    "Ultrasound",
    "X-ray",
    "Fundus",
    "Colonoscopy",
    "Dermoscopy",
    "Microscopy",
];

/// Position of a modality in [`MODALITIES`], from 0; `None` for any other name.
pub fn modality_index(name: &str) -> Option<u8> {
    MODALITIES.iter().position(|modality| *modality == name).map(|index| index as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_list() {
        assert_eq!(modality_index("CT"), Some(0));
        assert_eq!(modality_index("Microscopy"), Some(17));
        assert_eq!(modality_index("PET"), None);
    }
}
