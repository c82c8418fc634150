//! Records of slices for the search, about 300 bytes each.

use std::collections::HashMap;

use super::similarity::{FIELDS, Signature, is_flat, signature};
use crate::store::rows::compare_ids;

/// A slice, as it is handed in.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its id.
    pub slice_id: &'a str,
    /// Case that it was taken from.
    pub case_id: &'a str,
    /// Patient, with the source's name in front.
    pub patient_id: &'a str,
    /// Source.
    pub source: &'a str,
    /// Split that the source publishes.
    pub split: Option<&'a str>,
    /// Columns and rows of the image.
    pub size: [u32; 2],
    /// SHA-256 of the pixels in hex.
    pub pixels_sha256: &'a str,
    /// Its 16 x 16 thumbnail.
    pub thumbnail: &'a [u8],
}

/// A patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patient {
    pub(super) id: String,
    pub(super) source: String,
}

/// What the search needs of a slice, except for its signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Number of its case: the slices of a case have consecutive numbers.
    pub(super) case: u32,
    /// Number of its patient, in the order of their names.
    pub(super) patient: u32,
    /// Number of the official split, 0 for none.
    pub(super) split: u8,
    /// Fields along a side at which it is compared closely: 16, 32 or 64.
    pub(super) detail: u8,
    /// Half of the digest of its pixels.
    pub(super) digest: u128,
    /// All fields of the thumbnail are the same.
    pub(super) constant: bool,
    /// Next to no contrast.
    pub(super) flat: bool,
}

/// Slices in the order of their ids, with names as numbers.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub(super) facts: Vec<Facts>,
    pub(super) signatures: Vec<Signature>,
    pub(super) patients: Vec<Patient>,
    pub(super) splits: Vec<String>,
    /// First slice of each case, and the number of slices at the end.
    pub(super) cases: Vec<u32>,
    names: String,
    ends: Vec<u32>,
}

/// Fields along a side at which a picture is compared closely: at least one and a half pixels to a field.
fn detail(size: [u32; 2]) -> u8 {
    match size[0].min(size[1]) {
        96.. => 64,
        48..96 => 32,
        _ => 16,
    }
}

impl Records {
    /// Takes in slices, in any order but with the slices of a case one after the other, as the table has them; the
    /// order decides which slice of several is called the first.
    ///
    /// # Errors
    /// The id of a slice whose digest or thumbnail is none, and what is wrong with it.
    pub fn new<'a>(rows: impl IntoIterator<Item = Record<'a>>) -> Result<Records, (String, String)> {
        let mut records = Records::default();
        let mut patients: HashMap<String, u32> = HashMap::new();
        let mut case = String::new();
        for row in rows {
            records.push(row, &mut patients, &mut case)?;
        }
        Ok(records.finish())
    }

    /// Begins records of so many slices that are handed in piece by piece; [`Filling::finish`] ends them.
    pub(crate) fn filling(slices: usize) -> Filling {
        let mut records = Records::default();
        records.facts.reserve_exact(slices);
        records.signatures.reserve_exact(slices);
        Filling { records, patients: HashMap::new(), case: String::new() }
    }

    fn push(
        &mut self,
        row: Record,
        patients: &mut HashMap<String, u32>,
        case: &mut String,
    ) -> Result<(), (String, String)> {
        let wrong = |reason: String| (row.slice_id.to_string(), reason);
        let digest = row.pixels_sha256.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok());
        let digest = digest.ok_or_else(|| wrong(format!("{:?} is not a SHA-256", row.pixels_sha256)))?;
        if row.thumbnail.len() != FIELDS {
            return Err(wrong(format!("the thumbnail has {} values, expected {FIELDS}", row.thumbnail.len())));
        }
        if self.facts.is_empty() || row.case_id != case {
            self.cases.push(self.facts.len() as u32);
            row.case_id.clone_into(case);
        }
        let patient = match patients.get(row.patient_id) {
            Some(&patient) => patient,
            None => {
                let patient = self.patients.len() as u32;
                self.patients.push(Patient { id: row.patient_id.into(), source: row.source.into() });
                patients.insert(row.patient_id.into(), patient);
                patient
            }
        };
        let split = row.split.map_or(0, |split| {
            let known = self.splits.iter().position(|s| s == split);
            let at = known.unwrap_or_else(|| {
                self.splits.push(split.into());
                self.splits.len() - 1
            });
            (at + 1).min(255) as u8
        });
        self.facts.push(Facts {
            case: self.cases.len() as u32 - 1,
            patient,
            split,
            detail: detail(row.size),
            digest,
            constant: row.thumbnail.iter().all(|v| *v == row.thumbnail[0]),
            flat: is_flat(row.thumbnail),
        });
        self.signatures.push(signature(row.thumbnail));
        self.names.push_str(row.slice_id);
        self.ends.push(self.names.len() as u32);
        Ok(())
    }

    /// Numbers the patients in the order of their names.
    fn finish(mut self) -> Records {
        let mut order: Vec<usize> = (0..self.patients.len()).collect();
        order.sort_by(|&a, &b| compare_ids(&self.patients[a].id, &self.patients[b].id));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new as u32);
        self.facts.iter_mut().for_each(|facts| facts.patient = place[facts.patient as usize]);
        self.patients = order.into_iter().map(|old| self.patients[old].clone()).collect();
        self.cases.push(self.facts.len() as u32);
        self.names.shrink_to_fit();
        self
    }

    /// Number of slices.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// True where there is no slice.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Number of patients.
    pub fn patients(&self) -> usize {
        self.patients.len()
    }

    /// Id of a patient.
    pub fn patient_id(&self, patient: u32) -> &str {
        &self.patients[patient as usize].id
    }

    /// Source of a patient.
    pub fn source(&self, patient: u32) -> &str {
        &self.patients[patient as usize].source
    }

    /// Number of the patient of a slice.
    pub(crate) fn patient_of(&self, slice: u32) -> u32 {
        self.facts[slice as usize].patient
    }

    /// Id of a slice.
    pub fn slice_id(&self, slice: u32) -> &str {
        let at = slice as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.names[start..self.ends[at] as usize]
    }

    /// Official split of a slice.
    pub(crate) fn split_of(&self, slice: u32) -> Option<&str> {
        let split = self.facts[slice as usize].split;
        (split > 0).then(|| self.splits[split as usize - 1].as_str())
    }

    /// Whether the same image in both slices would be a leak: other patients, or other official splits of one.
    pub(super) fn apart(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.facts[a as usize], &self.facts[b as usize]);
        a.patient != b.patient || (a.split != b.split && a.split > 0 && b.split > 0)
    }

    /// Fields along a side at which two slices are compared closely.
    pub(super) fn detail(&self, a: u32, b: u32) -> usize {
        usize::from(self.facts[a as usize].detail.min(self.facts[b as usize].detail))
    }

    /// Number of slices of a case.
    pub(super) fn case_len(&self, case: u32) -> u32 {
        self.cases[case as usize + 1] - self.cases[case as usize]
    }
}

/// Records that are being handed in.
#[derive(Debug)]
pub struct Filling {
    records: Records,
    patients: HashMap<String, u32>,
    case: String,
}

impl Filling {
    /// Adds a slice, as [`Records::new`] does.
    ///
    /// # Errors
    /// Those of [`Records::new`].
    pub fn push(&mut self, row: Record) -> Result<(), (String, String)> {
        self.records.push(row, &mut self.patients, &mut self.case)
    }

    /// Ends the records.
    pub fn finish(self) -> Records {
        self.records.finish()
    }
}
