//! An archive of objects in System V's format: link editors take an object from it only if they need it.
//!
//! The format: ar(5), and the index that `ranlib` makes, a member called `/` with the big-endian count of names, as many
//! offsets of the members that define them, and the names.

use crate::error::{Error, Result};
use object::{Object, ObjectSymbol};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Returns the bytes of an archive with these objects, each with its name, and an index of their global symbols.
pub fn of(members: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut names = vec![];
    for (member, (file, content)) in members.iter().enumerate() {
        let object =
            object::File::parse(*content).map_err(|error| Error::new(format!("{file} is no object: {error}")))?;
        let global = object.symbols().filter(|symbol| symbol.is_definition() && !symbol.is_local());
        let global = global.filter_map(|symbol| symbol.name_bytes().ok().map(<[u8]>::to_vec));
        names.extend(global.map(|name| (member, name)));
    }
    let length = 4 + 4 * names.len() + names.iter().map(|(_, name)| name.len() + 1).sum::<usize>();
    let mut offset = MAGIC.len() + HEADER + length.next_multiple_of(2);
    let offsets: Vec<_> = members
        .iter()
        .map(|(_, content)| {
            let start = offset;
            offset += HEADER + content.len().next_multiple_of(2);
            start as u32
        })
        .collect();
    let mut index = (names.len() as u32).to_be_bytes().to_vec();
    names.iter().for_each(|(member, _)| index.extend(offsets[*member].to_be_bytes()));
    names.iter().for_each(|(_, name)| index.extend(name.iter().chain(&[0])));
    let mut archive = MAGIC.to_vec();
    add(&mut archive, "/", &index);
    members.iter().for_each(|(file, content)| add(&mut archive, &format!("{file}/"), content));
    Ok(archive)
}

fn add(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "644", content.len());
    archive.extend(header.as_bytes());
    archive.extend(content);
    archive.extend((!content.len().is_multiple_of(2)).then_some(b'\n'));
}

#[cfg(test)]
mod tests {
    use super::super::{BYTES, MALLOC};
    use object::read::archive::ArchiveFile;

    #[test]
    fn the_index_leads_to_the_objects() {
        let archive = super::of(&[("malloc.o", MALLOC), ("bytes.o", BYTES)]).expect("objects");
        let archive = ArchiveFile::parse(&*archive).expect("an archive");
        let symbols = archive.symbols().expect("an index").expect("an index");
        let symbols: Vec<_> = symbols.map(|symbol| symbol.expect("a symbol")).collect();
        let file = |name: &[u8]| {
            let symbol = symbols.iter().find(|symbol| symbol.name() == name).expect("it is in the index");
            archive.member(symbol.offset()).expect("a member").name().to_vec()
        };
        assert_eq!(symbols.len(), 13);
        assert_eq!(file(b"realloc"), b"malloc.o");
        assert_eq!(file(b"memcmp"), b"bytes.o");
    }
}
