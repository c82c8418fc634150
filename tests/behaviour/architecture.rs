//! What the sources promise of themselves: no circle of imports between the files of a folder, no thread locals, no
//! `Debug` text in keys.
//!
//! The files and folders inside a folder are its modules. One imports from another where a path that begins with
//! `crate`,
//! `super` or `self`, in a `use` or anywhere else, leads into it. A path through a re-export leads to where the item is
//! defined, so that a `mod.rs` hides no circle. What a `mod.rs` defines itself (errors, the vocabulary of its folder)
//! belongs to the whole folder: importing it is no arrow, and a `mod.rs` may call all its files. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

/// Folders whose files, and those of the folders in them, import in one direction.
const WITHOUT_CIRCLES: [&str; 4] = ["analysis", "formats", "raw", "report"];

#[test]
fn folders_import_in_one_direction() {
    assert_eq!(sources().circles(&[]), [""; 0]);
}

#[test]
fn files_import_in_one_direction() {
    for folder in WITHOUT_CIRCLES {
        let below = sources().files.keys().filter(|module| module.first().is_some_and(|first| first == folder));
        let circles: Vec<String> = below.clone().flat_map(|module| sources().circles(module)).collect();
        assert_eq!(circles, [""; 0]);
        assert!(below.count() > 5, "src/{folder} has no files");
    }
}

#[test]
fn memory_is_an_argument() {
    for (module, tokens) in &sources().files {
        let local = tokens.windows(2).any(|pair| pair[0] == Token::Word("thread_local".into()) && pair[1].is('!'));
        assert!(!local, "src/{}: pass memory that is used again as an argument", module.join("/"));
    }
}

/// What keys and digests are made with.
const MAKERS: [&str; 7] =
    ["ShardKey", "with_json", "with_digest_of", "canonical_json", "sha256", "sha256_parts", "Sha256"];

/// A function whose keys are those of label tables, and whose texts are notes.
const OTHER_KEYS: (&str, &str) = ("slices/segments", "key_of");

/// The text of `Debug` changes with the compiler and with the name of a field.
#[test]
fn keys_hold_no_debug_text() {
    let mut seen = 0;
    for (module, tokens) in &sources().files {
        let module = module.join("/");
        for (name, body) in functions(tokens) {
            let calls = |pair: &[Token]| {
                let called = pair[1].is('(') || pair[1] == Token::Path;
                called && pair[0].word().is_some_and(|word| MAKERS.contains(&word))
            };
            let named = name.split('_').any(|word| ["key", "digest", "pseudonym"].contains(&word));
            if (module.as_str(), name) == OTHER_KEYS || !(named || body.windows(2).any(calls)) {
                continue;
            }
            seen += 1;
            let debug = |token: &&Token| matches!(token, Token::Text(text) if text.contains("?}"));
            assert_eq!(body.iter().find(debug), None, "src/{module}: {name}");
        }
    }
    assert!(seen > 40, "only {seen} functions make keys or digests");
}

#[test]
fn circles_are_found_and_what_is_none_is_not() {
    let circles = |files: &[(&str, &str)]| {
        Sources::of(files.iter().map(|(path, text)| (path.to_string(), text.to_string()))).circles(&["f".to_string()])
    };
    let root = ("f/mod.rs", "mod a; mod b; pub use b::Deep as Shown; pub struct Own; #[cfg(test)] mod check;");
    let found = |a, b| !circles(&[root, ("f/a.rs", a), ("f/b/mod.rs", b)]).is_empty();
    assert!(found("use super::b;", "use super::a::Thing;"));
    assert!(found("use crate::f::{Own, b::{self, Deep}};", "fn x() { crate::f::a::call() }"));
    assert!(found("use super::Shown;", "use super::{Own, a};"), "through a re-export");
    assert!(found("mod inner { use super::super::b::Deep; }", "use super::a;"));
    assert!(!found("use super::{Own, b};", "use super::Own; pub(in crate::f::a) struct Deep;"));
    assert!(!found("// use super::b;\nconst X: &str = \"super::b::Deep\";", "use super::a;"));
    assert!(!found("#[cfg(test)]\nmod tests { use super::super::b; }", "use super::a;"));
    let tests = ("f/check.rs", "use super::{a, b};");
    assert!(circles(&[root, tests, ("f/a.rs", "use super::b;"), ("f/b/mod.rs", "")]).is_empty());
    let three = [("f/a.rs", "use super::b;"), ("f/b.rs", "use super::c;"), ("f/c.rs", "use super::a;")];
    assert_eq!(circles(&three), ["f: a -> b -> c -> a"]);
}

fn sources() -> &'static Sources {
    static SOURCES: LazyLock<Sources> = LazyLock::new(Sources::read);
    &SOURCES
}

/// Path of a module below the crate.
type Module = Vec<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// A string literal.
    Text(String),
    /// Two colons.
    Path,
    Sign(char),
}

impl Token {
    fn is(&self, sign: char) -> bool {
        *self == Token::Sign(sign)
    }

    fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The modules of `src/`, without tests and comments.
struct Sources {
    files: BTreeMap<Module, Vec<Token>>,
    /// For each module the names that it re-exports from its files, and their paths.
    shown: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Sources {
    fn read() -> Sources {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        let mut folders = vec![src.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let below = path.strip_prefix(&src).unwrap().components();
                    let names: Vec<_> = below.map(|part| part.as_os_str().to_string_lossy()).collect();
                    files.push((names.join("/"), std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        Sources::of(files.into_iter())
    }

    /// Of paths below `src/` and texts.
    fn of(files: impl Iterator<Item = (String, String)>) -> Sources {
        let mut tests = BTreeSet::new();
        let mut modules = BTreeMap::new();
        for (path, text) in files {
            let mut module: Module = path.trim_end_matches(".rs").split('/').map(str::to_string).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            let (tokens, test_modules) = without_tests(tokens_of(&text));
            tests.extend(test_modules.into_iter().map(|name| [module.clone(), vec![name]].concat()));
            // The program's `main` shares the root with the library.
            modules.entry(module).or_insert_with(Vec::new).extend(tokens);
        }
        modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut sources = Sources { files: modules, shown: BTreeMap::new() };
        sources.shown = sources.files.keys().map(|module| (module.clone(), sources.shown_by(module))).collect();
        sources
    }

    fn shown_by(&self, module: &Module) -> BTreeMap<String, Module> {
        let tokens = &self.files[module];
        let mut shown = BTreeMap::new();
        for at in (0..tokens.len()).filter(|&at| tokens[at].word() == Some("use")) {
            for (mut path, name) in use_tree(&tokens[at + 1..]).0 {
                if path
                    .first()
                    .is_some_and(|first| self.files.contains_key(&[module, std::slice::from_ref(first)].concat()))
                {
                    path.insert(0, "self".into());
                }
                if let Some(path) = absolute(&path, module).filter(|path| path.len() > module.len()) {
                    shown.insert(name, path);
                }
            }
        }
        shown
    }

    /// The module in which the item at a path is defined.
    fn defined(&self, path: &[String]) -> Module {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let deepest = (0..=path.len()).rev().find(|&end| self.files.contains_key(&path[..end])).unwrap_or(0);
            let (module, rest) = path.split_at(deepest);
            let shown = rest.first().and_then(|name| self.shown.get(module)?.get(name));
            match shown {
                Some(shown) if **shown != path[..deepest + 1] => path = [shown, &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        panic!("{} is re-exported in a circle", path.join("::"))
    }

    /// The circles between the modules in a folder, one line each.
    fn circles(&self, folder: &[String]) -> Vec<String> {
        let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let inside =
            |module: &[String]| (module.len() > folder.len() && module.starts_with(folder)).then_some(folder.len());
        for (module, tokens) in &self.files {
            let Some(at) = inside(module) else { continue };
            for path in paths(tokens, module) {
                let to = self.defined(&path);
                if inside(&to).is_some() && to[at] != module[at] {
                    arrows.entry(&module[at]).or_default().insert(to[at].clone());
                }
            }
        }
        let mut circles = BTreeSet::new();
        for start in arrows.keys() {
            if let Some(circle) = way_back(&arrows, start) {
                circles.insert(format!("{}: {}", folder.join("/"), circle.join(" -> ")));
            }
        }
        circles.into_iter().collect()
    }
}

/// The shortest way from a module to itself, if it is the first of the circle by name.
fn way_back(arrows: &BTreeMap<&str, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_string()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in arrows.get(way.last()?.as_str()).into_iter().flatten() {
                let way = [&way, std::slice::from_ref(next)].concat();
                if next == start {
                    return way.iter().all(|module| module.as_str() >= start).then_some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
        match chars[at] {
            '/' if next(1) == '/' => at += chars[at..].iter().position(|&c| c == '\n').unwrap_or(chars.len() - at),
            '/' if next(1) == '*' => {
                let end = chars[at..].windows(2).position(|pair| pair == ['*', '/']);
                at += end.map_or(chars.len() - at, |end| end + 2);
            }
            'r' if next(1) == '"' || next(1) == '#' && matches!(next(2), '"' | '#') => {
                let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let start = at + 2 + hashes;
                let length = chars[start..].windows(end.len()).position(|window| window == end).unwrap();
                tokens.push(Token::Text(chars[start..start + length].iter().collect()));
                at = start + length + end.len();
            }
            '"' => {
                let start = at + 1;
                at = start;
                while chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                tokens.push(Token::Text(chars[start..at].iter().collect()));
                at += 1;
            }
            // A character, not a lifetime.
            '\'' if next(1) == '\\' => at += 3 + chars[at + 3..].iter().position(|&c| c == '\'').unwrap() + 1,
            '\'' if next(2) == '\'' => at += 3,
            ':' if next(1) == ':' => {
                tokens.push(Token::Path);
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let length = chars[at..].iter().take_while(|&&c| c.is_alphanumeric() || c == '_').count();
                tokens.push(Token::Word(chars[at..at + length].iter().collect()));
                at += length;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token::Sign(c));
                }
                at += 1;
            }
        }
    }
    tokens
}

/// The tokens without the items that only tests have, and the names of modules in files of their own among these.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_attribute = tokens[at].is('#') && tokens.get(at + 1).is_some_and(|token| token.is('['));
        let end = if is_attribute { end_of(&tokens, at + 1) } else { at };
        let words: Vec<&str> = tokens[at..end].iter().filter_map(Token::word).collect();
        let tests = words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not");
        if !tests {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at = end;
        let item = at;
        while !tokens[at].is(';') && !tokens[at].is('{') {
            at = if matches!(tokens[at], Token::Sign('(' | '[')) { end_of(&tokens, at) } else { at + 1 };
        }
        if let [.., Token::Word(word), Token::Word(name)] = &tokens[item..at]
            && word == "mod"
        {
            modules.push(name.clone());
        }
        at = if tokens[at].is('{') { end_of(&tokens, at) } else { at + 1 };
    }
    (kept, modules)
}

/// Behind the bracket that closes the one at a position.
fn end_of(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    panic!("a bracket is not closed")
}

/// Absolute paths of all that a module names by `crate`, `super` or `self`.
fn paths(tokens: &[Token], module: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    let mut base = module.clone();
    // Where modules inside the file end.
    let mut ends = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if ends.last() == Some(&at) {
            ends.pop();
            base.pop();
        }
        match (&tokens[at], tokens.get(at + 1)) {
            (Token::Word(word), Some(Token::Sign('('))) if word == "pub" => at = end_of(tokens, at + 1),
            (Token::Word(word), Some(Token::Word(name))) if word == "mod" => {
                if tokens.get(at + 2).is_some_and(|token| token.is('{')) {
                    base.push(name.clone());
                    ends.push(end_of(tokens, at + 2));
                }
                at += 2;
            }
            (Token::Word(word), Some(Token::Path)) if matches!(word.as_str(), "crate" | "super" | "self") => {
                let (tree, length) = use_tree(&tokens[at..]);
                found.extend(tree.iter().filter_map(|(path, _)| absolute(path, &base)));
                at += length;
            }
            _ => at += 1,
        }
    }
    found
}

/// A path from the crate's root, of one that a module writes; `None` where it does not begin inside the crate.
fn absolute(path: &[String], module: &Module) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    while rest.first().is_some_and(|word| word == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    Some([base, rest.to_vec()].concat())
}

/// The paths of a tree as `use` has them, each with the name that it brings in, and the number of tokens.
fn use_tree(tokens: &[Token]) -> (Vec<(Module, String)>, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => path.push(word.clone()),
            Some(Token::Sign('{')) => {
                let end = end_of(tokens, at);
                let mut all = Vec::new();
                at += 1;
                while at < end - 1 {
                    let (tree, length) = use_tree(&tokens[at..end - 1]);
                    all.extend(tree.into_iter().map(|(rest, name)| ([&path[..], &rest].concat(), name)));
                    at += length.max(1);
                }
                return (all, end);
            }
            _ => break,
        }
        at += 1;
        match tokens.get(at) {
            Some(Token::Path) => at += 1,
            _ => break,
        }
    }
    if path.len() > 1 && path.last().is_some_and(|word| word == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let (Some(Token::Word(word)), Some(Token::Word(other))) = (tokens.get(at), tokens.get(at + 1))
        && word == "as"
    {
        name = other.clone();
        at += 2;
    }
    (vec![(path, name)], at)
}

/// Functions with the tokens of their bodies.
fn functions(tokens: &[Token]) -> Vec<(&str, &[Token])> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let [Token::Word(word), Token::Word(name), ..] = &tokens[at..] else { continue };
        if word != "fn" {
            continue;
        }
        let mut body = at + 2;
        while !tokens[body].is('{') && !tokens[body].is(';') {
            body = if matches!(tokens[body], Token::Sign('(' | '[')) { end_of(tokens, body) } else { body + 1 };
        }
        if tokens[body].is('{') {
            found.push((name.as_str(), &tokens[body..end_of(tokens, body)]));
        }
    }
    found
}
