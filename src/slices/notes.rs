//! Notes on the files of a case: those of the readers, and how masks were placed.

/// Notes of a case. The same note of many mask files is one sentence.
pub(super) struct Notes {
    image: Vec<String>,
    masks: Vec<MaskNote>,
}

struct MaskNote {
    text: String,
    /// The first file it is of, and how many there are.
    file: String,
    files: usize,
}

impl Notes {
    pub(super) fn of_image(notes: &[String]) -> Notes {
        Notes { image: notes.to_vec(), masks: Vec::new() }
    }

    pub(super) fn of_mask<'a>(&mut self, file: &str, notes: impl Iterator<Item = &'a String>) {
        for text in notes {
            match self.masks.iter_mut().find(|note| note.text == *text) {
                Some(note) => note.files += 1,
                None => self.masks.push(MaskNote { text: text.clone(), file: file.to_string(), files: 1 }),
            }
        }
    }

    /// One sentence each, those of the image first.
    pub(super) fn sentences(self) -> Vec<String> {
        let of_masks = self.masks.into_iter().map(|MaskNote { text, file, files }| match files {
            1 => format!("{file}: {text}"),
            _ => format!("{file} and {} more mask file(s): {text}", files - 1),
        });
        self.image.into_iter().chain(of_masks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_note_of_many_masks_is_one_sentence() {
        let mut notes = Notes::of_image(&["of the image".into()]);
        let said = ["a".to_string(), "b".to_string()];
        notes.of_mask("m1.nii", said.iter());
        notes.of_mask("m2.nii", said[..1].iter());
        assert_eq!(notes.sentences(), ["of the image", "m1.nii and 1 more mask file(s): a", "m1.nii: b"]);
    }
}
