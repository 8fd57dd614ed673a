//! LMDB, which writes by write(2) what it reads by a mapping.

use data_programs::lmdb::{Kind, Lmdb};
use data_programs::{Outcome, run};
use heed::EnvFlags;

struct Own;

impl Kind for Own {
    const FLAGS: EnvFlags = EnvFlags::empty();
}

fn main() -> Outcome<()> {
    run::<Lmdb<Own>>()
}
