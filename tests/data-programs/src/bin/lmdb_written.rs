//! LMDB, which writes through its mapping.

use data_programs::lmdb::{Kind, Lmdb};
use data_programs::{Outcome, run};
use heed::EnvFlags;

struct Own;

impl Kind for Own {
    const FLAGS: EnvFlags = EnvFlags::WRITE_MAP;
}

fn main() -> Outcome<()> {
    run::<Lmdb<Own>>()
}
