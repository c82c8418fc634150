//! Tables of text that come with a download: a line of names, then rows.
//!
//! Columns are separated by commas, semicolons or tabs, whichever is most frequent in the first line. A byte-order mark
//! is skipped, and so are spaces and quotation marks around values; rows may be shorter than the first line.

/// A table in memory.
pub(crate) struct Table<'a> {
    reader: csv::Reader<&'a [u8]>,
    names: Vec<String>,
}

impl<'a> Table<'a> {
    /// Reads the line of names.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        if let Some(reason) = other_encoding(bytes) {
            return Err(reason);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        stray_quote(bytes, separator(bytes))?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator(bytes))
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(bytes);
        let names = reader.byte_headers().map_err(|e| e.to_string())?;
        let names = names.iter().map(|name| String::from_utf8_lossy(bare(name)).into_owned()).collect();
        Ok(Table { reader, names })
    }

    /// The column of a name; of several names, of the first that there is.
    pub(crate) fn column(&self, wanted: &[String]) -> Result<usize, String> {
        let found = wanted.iter().find_map(|name| self.names.iter().position(|n| n == name));
        if let Some(twice) = found.filter(|at| self.names[at + 1..].contains(&self.names[*at])) {
            return Err(format!("two columns are named {:?}: remove or rename one", self.names[twice]));
        }
        found.ok_or_else(|| format!("no column {:?}; the columns are {:?}", wanted.join(" or "), self.names))
    }

    /// The rows, one after the other. A row with more values than there are columns has a separator inside of a value,
    /// so that nobody can say what stands in which column.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = Result<Row, String>> + '_ {
        let columns = self.names.len();
        self.reader.byte_records().zip(2..).map(move |(row, number)| {
            let row = row.map_err(|e| e.to_string())?;
            match row.iter().skip(columns).any(|value| !bare(value).is_empty()) {
                false => Ok(Row(row)),
                true => Err(format!(
                    "row {number} has {} values, expected {columns}: quote values that contain a separator",
                    row.len()
                )),
            }
        })
    }
}

/// A row.
pub(crate) struct Row(csv::ByteRecord);

impl Row {
    /// The value in a column; `None` where the row ends before it.
    pub(crate) fn get(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column).map(bare)
    }
}

/// Why a text in UTF-16 is not read: `None` for others.
pub(super) fn other_encoding(bytes: &[u8]) -> Option<String> {
    let utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    utf_16.then(|| "the encoding is UTF-16: save the file as UTF-8".to_string())
}

/// Refuses a table in which a quotation mark swallows rows: one that is never closed, is closed inside a value, or has
/// whole rows before its end.
fn stray_quote(table: &[u8], separator: u8) -> Result<(), String> {
    let line = |at: usize| 1 + table[..at].iter().filter(|&&b| b == b'\n').count();
    let columns = table.split(|&b| b == b'\n').next().unwrap_or_default().split(|&b| b == separator).count();
    let mut at = 0;
    while at < table.len() {
        // The beginning of a value.
        if table[at] != b'"' {
            at += table[at..].iter().position(|&b| b == separator || b == b'\n').map_or(table.len() - at, |n| n + 1);
            continue;
        }
        let open = at;
        at += 1;
        loop {
            match table[at..].iter().position(|&b| b == b'"').map(|n| at + n) {
                None => return Err(format!("the quotation mark in line {} is not closed", line(open))),
                Some(end) if table.get(end + 1) == Some(&b'"') => at = end + 2,
                Some(end) => {
                    at = end + 1;
                    break;
                }
            }
        }
        let rest = table[at..].iter().take_while(|b| matches!(b, b' ' | b'\r')).count();
        at += rest;
        let ended = table.get(at).is_none_or(|&b| b == separator || b == b'\n');
        let mut inner = table[open..at].split(|&b| b == b'\n').skip(1);
        let swallows = columns > 1 && inner.any(|line| line.iter().filter(|&&b| b == separator).count() + 1 >= columns);
        if !ended || swallows {
            return Err(format!("the quotation mark in line {} is closed before the value ends", line(open)));
        }
        at += 1;
    }
    Ok(())
}

/// A value without blanks and quotation marks around it: a mark after a blank is none to the reader.
pub(crate) fn bare(mut value: &[u8]) -> &[u8] {
    while let [b'"' | b' ' | b'\t', rest @ ..] | [rest @ .., b'"' | b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn separator(table: &[u8]) -> u8 {
    let first = table.split(|&b| b == b'\n').next().unwrap_or_default();
    let count = |separator: u8| first.iter().filter(|&&b| b == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|&separator| count(separator)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_mark_that_swallows_rows_is_refused() {
        for text in [
            "id,who\n1,\"a\n2,b\n3,c\n",
            "id,who\n1,\"a\n2,\"b\"\n3,c\n",
            "id,who\n1,\"a\n2,b\"\n3,c\n",
            "id,who,note\n1,x,\"a\n2,y,b\n3,z,c\"\n",
        ] {
            let error = Table::new(text.as_bytes()).err().unwrap_or_default();
            assert!(error.contains("line 2"), "{text}: {error}");
        }
        let sound = "id,who,note\n1,\"a, b\",\"two\nlines, of \"\"text\"\"\"\n2, \"b\" ,6\" long\n\"3\" ,c,\"\"\r\n";
        assert!(Table::new(sound.as_bytes()).is_ok(), "{:?}", Table::new(sound.as_bytes()).err());
    }

    #[test]
    fn whatever_the_separator_blanks_quotes_and_line_ends() {
        for text in ["\u{feff}id;who\ns1;7\n", "id, who\r\n\"s1\", \"7\"\r\n", "id\twho\ns1\t7", "id,who\n s1 ,7,, \n"]
        {
            let mut table = Table::new(text.as_bytes()).unwrap();
            let who = table.column(&["name".into(), "who".into()]).unwrap();
            let rows: Vec<_> = table.rows().collect::<Result<_, _>>().unwrap();
            assert_eq!(
                (rows.len(), rows[0].get(0), rows[0].get(who)),
                (1, Some(&b"s1"[..]), Some(&b"7"[..])),
                "{text}"
            );
        }
        let error = Table::new(b"id,who\n").unwrap().column(&["fname".into(), "image".into()]).unwrap_err();
        assert!(error.contains("fname or image") && error.contains("\"who\""), "{error}");
        assert!(Table::new(b"").unwrap().column(&["id".into()]).is_err());
        let twice = Table::new(b"id,who,who\n").unwrap().column(&["who".into()]).unwrap_err();
        assert!(twice.contains("two columns"), "{twice}");
        assert!(Table::new(b"\xff\xfei\0d\0").err().unwrap().contains("UTF-16"));
        let mut more = Table::new(b"id,who\n1,a\n2,a, b\n").unwrap();
        let error = more.rows().find_map(Result::err).unwrap();
        assert!(error.starts_with("row 3 has 3 values"), "{error}");
    }
}
