//! The paths that a source file uses.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, UseTree};

/// A path in a source file, from the crate's root or from an external crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub path: Vec<String>,
    pub line: usize,
}

/// Collects the paths of one file.
struct Paths {
    /// The module path of the file and its inline modules, from the crate's root.
    module: Vec<String>,
    /// The path of each imported name.
    names: BTreeMap<String, Vec<String>>,
    found: BTreeSet<Import>,
    /// Number of lines of `mod tests`, including braces.
    test_lines: usize,
}

/// The paths in the file of `module`, and its number of lines without tests.
pub fn read(source: &str, module: Vec<String>) -> syn::Result<(BTreeSet<Import>, usize)> {
    let file = syn::parse_file(source)?;
    let mut paths = Paths { module, names: BTreeMap::new(), found: BTreeSet::new(), test_lines: 0 };
    // Collects names first, because an item can be used above its import.
    for item in &file.items {
        if let Item::Use(item) = item
            && !is_test(&item.attrs)
        {
            paths.import(&item.tree, &mut Vec::new(), true);
        }
    }
    paths.visit_file(&file);
    Ok((paths.found, source.lines().count() - paths.test_lines))
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

impl Paths {
    /// Follows a `use` to its leaves.
    fn import(&mut self, tree: &UseTree, before: &mut Vec<(String, usize)>, only_names: bool) {
        let mut leaf = |name: Option<&syn::Ident>, renamed: Option<&syn::Ident>| {
            let mut path: Vec<String> = before.iter().map(|(name, _)| name.clone()).collect();
            let line =
                name.map(|it| it.span().start().line).or(before.last().map(|it| it.1)).unwrap_or_default();
            match name {
                Some(name) if name == "self" => {}
                Some(name) => path.push(name.to_string()),
                None => path.push("*".to_owned()),
            }
            let path = self.resolve(&path);
            if only_names {
                if let Some(name) = renamed.map(ToString::to_string).or_else(|| path.last().cloned()) {
                    self.names.insert(name, path);
                }
            } else {
                self.found.insert(Import { path, line });
            }
        };
        match tree {
            UseTree::Path(path) => {
                before.push((path.ident.to_string(), path.ident.span().start().line));
                self.import(&path.tree, before, only_names);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, only_names);
                }
            }
            UseTree::Name(name) => leaf(Some(&name.ident), None),
            UseTree::Rename(name) => leaf(Some(&name.ident), Some(&name.rename)),
            UseTree::Glob(_) => leaf(None, None),
        }
    }

    /// From the root of this crate, as `crate::…`, or from an external crate.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let (first, rest) = path.split_first().expect("a path has a segment");
        let own = std::iter::once("crate".to_owned()).chain(self.module.iter().cloned());
        match first.as_str() {
            "self" => own.chain(rest.iter().cloned()).collect(),
            "super" => {
                let above = rest.iter().take_while(|segment| *segment == "super").count();
                let depth = self.module.len().saturating_sub(above);
                own.take(depth).chain(rest[above..].iter().cloned()).collect()
            }
            _ => path.to_vec(),
        }
    }

    /// Like [`Paths::absolute`], but the first segment can be an imported name.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        match self.names.get(&path[0]) {
            Some(name) => [name, &path[1..]].concat(),
            None => self.absolute(path),
        }
    }

    fn add(&mut self, path: &[String], line: usize) {
        let path = self.resolve(path);
        self.found.insert(Import { path, line });
    }

    /// Adds every `a::b::c` in the tokens of a macro.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (Vec::new(), 0, 0);
        let mut finished = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        finished.push((std::mem::take(&mut path), line));
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    finished.push((std::mem::take(&mut path), line));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        finished.push((path, line));
        for (path, line) in finished.iter().filter(|(path, _)| !path.is_empty()) {
            self.add(path, *line);
        }
    }
}

impl Visit<'_> for Paths {
    fn visit_item_use(&mut self, item: &ItemUse) {
        if !is_test(&item.attrs) {
            // Collects names again, because `use` items inside functions are visited only here.
            self.import(&item.tree, &mut Vec::new(), true);
            self.import(&item.tree, &mut Vec::new(), false);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        if is_test(&item.attrs) {
            if let Some((brace, _)) = &item.content {
                self.test_lines += brace.span.close().end().line + 1 - item.mod_token.span.start().line;
            }
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.add(&segments, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &syn::Macro) {
        self.add_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_meta_list(&mut self, list: &syn::MetaList) {
        self.add_tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }
}
