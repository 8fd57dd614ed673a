//! An archive with one object in it, as System V has them: link editors take an object from there only if they need it.
//!
//! The format: ar(5), and the index that `ranlib` makes, a member called `/` with the big-endian count of names, as many
//! offsets of the members that define them, and the names.

use crate::error::{Error, Result};
use object::{Object, ObjectSymbol};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The bytes of an archive that holds `content`, an object, under `name`, and tells its global symbols.
pub fn of(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let object = object::File::parse(content).map_err(|error| Error::new(format!("{name} is no object: {error}")))?;
    let global = object.symbols().filter(|symbol| symbol.is_definition() && !symbol.is_local());
    let names: Vec<_> = global.filter_map(|symbol| symbol.name_bytes().ok()).collect();
    let length = 4 + 4 * names.len() + names.iter().map(|name| name.len() + 1).sum::<usize>();
    let offset = (MAGIC.len() + HEADER + length.next_multiple_of(2)) as u32;
    let mut index = (names.len() as u32).to_be_bytes().to_vec();
    names.iter().for_each(|_| index.extend(offset.to_be_bytes()));
    names.iter().for_each(|name| index.extend(name.iter().chain(&[0])));
    let mut archive = MAGIC.to_vec();
    add(&mut archive, "/", &index);
    add(&mut archive, &format!("{name}/"), content);
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
    use object::read::archive::ArchiveFile;

    #[test]
    fn the_index_leads_to_the_object() {
        let archive = super::of("malloc.o", super::super::MALLOC).expect("an object");
        let archive = ArchiveFile::parse(&*archive).expect("an archive");
        let symbols = archive.symbols().expect("an index").expect("an index");
        let mut names: Vec<_> = symbols.map(|symbol| symbol.expect("a symbol")).collect();
        names.sort_by_key(|symbol| symbol.name());
        let first = names.first().expect("a name");
        assert_eq!((names.len(), first.name()), (8, &b"aligned_alloc"[..]));
        let member = archive.member(first.offset()).expect("a member");
        assert_eq!(member.name(), b"malloc.o");
    }
}
