//! The frame of the page: sections, figures, tables and downloads in one HTML file that loads nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use polars::prelude::DataFrame;

use super::ReportError;
use super::escape::escape;
use super::tables::HtmlTable;
use crate::analysis::output::{Format, write_frame};

const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded from anywhere: the browser itself sees to it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Bytes as a `data:` address.
pub(super) fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// A part of the page under a heading of its own.
pub(super) struct Section {
    id: &'static str,
    title: String,
    body: String,
}

impl Section {
    /// An empty section. The id is its address on the page.
    pub(super) fn new(id: &'static str, title: &str) -> Self {
        Section { id, title: title.to_string(), body: String::new() }
    }

    /// Adds a paragraph of plain text.
    pub(super) fn text(&mut self, text: &str) {
        self.body += &format!("<p>{}</p>\n", escape(text));
    }

    /// Says what is left out, and the command that makes it.
    pub(super) fn missing(&mut self, what: &str, command: &str) {
        self.body += &format!(
            "<p class=\"missing\">{} <code>{}</code></p>\n",
            escape(&format!("{what} To add this section, run")),
            escape(command)
        );
    }

    /// Adds a heading below that of the section.
    pub(super) fn heading(&mut self, title: &str) {
        self.body += &format!("<h3>{}</h3>\n", escape(title));
    }

    /// Adds figures side by side where the page is wide enough.
    pub(super) fn figures(&mut self, figures: Vec<Figure>) {
        if !figures.is_empty() {
            let figures: String = figures.into_iter().map(Figure::into_html).collect();
            self.body += &format!("<div class=\"figures\">\n{figures}</div>\n");
        }
    }

    /// Adds a table that scrolls inside its box.
    pub(super) fn table(&mut self, caption: &str, table: &HtmlTable) {
        self.body += &table.to_html(caption);
    }

    /// Adds preformatted text, in a box that scrolls.
    pub(super) fn preformatted(&mut self, label: &str, text: &str) {
        self.body += &format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><pre>{}</pre></div>\n",
            escape(label),
            escape(text)
        );
    }

    /// Adds a list of terms and what they mean.
    pub(super) fn definitions(&mut self, terms: impl IntoIterator<Item = (String, String)>) {
        let pair =
            |(term, meaning): (String, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(&term), escape(&meaning));
        self.body += &format!("<dl>\n{}</dl>\n", terms.into_iter().map(pair).collect::<String>());
    }

    /// Adds the download of a whole table, as CSV.
    ///
    /// # Errors
    /// What [`write_frame`] returns.
    pub(super) fn download(&mut self, name: &str, frame: &DataFrame) -> Result<(), ReportError> {
        self.body += &format!("<p class=\"download\">{}</p>\n", csv_link(name, frame)?);
        Ok(())
    }

    fn into_html(self) -> String {
        let Section { id, title, body } = self;
        format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{}</h2>\n{body}</section>\n",
            escape(&title)
        )
    }
}

/// A link that saves a frame as a CSV file. The same frame gives the bytes that `analyze` writes.
pub(super) fn csv_link(name: &str, frame: &DataFrame) -> Result<String, ReportError> {
    let mut csv = Vec::new();
    write_frame(frame, Format::Csv, &mut csv)?;
    let (file, address) = (escape(&format!("{name}.csv")), data_url("text/csv;charset=utf-8", &csv));
    Ok(format!("<a download=\"{file}\" href=\"{address}\">Save {file}</a> <span>({} rows)</span>", frame.height()))
}

/// A picture with its caption.
pub(super) struct Figure {
    html: String,
    caption: String,
    link: String,
    wide: bool,
}

impl Figure {
    /// A figure from finished HTML. The caption is plain text.
    pub(super) fn new(html: String, caption: &str) -> Self {
        Figure { html, caption: escape(caption), link: String::new(), wide: false }
    }

    /// Takes the whole width of the page.
    pub(super) fn wide(self) -> Self {
        Figure { wide: true, ..self }
    }

    /// Adds the download of the numbers shown.
    pub(super) fn with_csv(self, name: &str, frame: &DataFrame) -> Result<Self, ReportError> {
        Ok(Figure { link: format!(" <span class=\"download\">{}</span>", csv_link(name, frame)?), ..self })
    }

    fn into_html(self) -> String {
        let Figure { html, caption, link, wide } = self;
        let class = if wide { " class=\"wide\"" } else { "" };
        format!("<figure{class}>\n{html}\n<figcaption>{caption}{link}</figcaption>\n</figure>\n")
    }
}

/// The whole page. `about` is the paragraph below the title.
pub(super) fn page(title: &str, about: &str, sections: Vec<Section>) -> String {
    let entry = |section: &Section| format!("<li><a href=\"#{}\">{}</a></li>\n", section.id, escape(&section.title));
    let contents: String = sections.iter().map(entry).collect();
    let body: String = sections.into_iter().map(Section::into_html).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p>{about}</p>\n</header>\n\
         <nav aria-label=\"Contents\">\n<ol>\n{contents}</ol>\n</nav>\n<main>\n{body}</main>\n</body>\n</html>\n",
        title = escape(title),
        about = escape(about)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element_or_attribute() {
        assert_eq!(escape("<b a=\"1\" b='2'> & \u{7}é"), "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt; &amp;  é");
        let mut section = Section::new("data", "<script>");
        section.text("<script>alert(1)</script>");
        section.missing("No <clicks>.", "medcosmos predict \"x\"");
        section.definitions([("<dt>".into(), "a & b".into())]);
        section.preformatted("\"label\"", "</pre>");
        section.figures(vec![Figure::new("<svg></svg>".into(), "</figcaption><script>")]);
        let page = page("<title>", "<p>", vec![section]);
        assert_eq!(page.matches("<script").count(), 0);
        assert_eq!(page.matches("</pre>").count(), 1);
        assert_eq!(page.matches("</figcaption>").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("a &amp; b"));
    }

    #[test]
    fn a_download_holds_the_table() {
        let frame = polars::df!("a" => [1, 2], "b" => ["x,y", "é"]).unwrap();
        let link = csv_link("n\"m", &frame).unwrap();
        let coded = link.split("base64,").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(STANDARD.decode(coded).unwrap(), "a,b\n1,\"x,y\"\n2,é\n".as_bytes());
        assert!(link.contains("download=\"n&quot;m.csv\"") && link.contains("(2 rows)"));
    }

    #[test]
    fn a_page_without_sections_is_a_page() {
        let page = page("t", "a", Vec::new());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    }
}
