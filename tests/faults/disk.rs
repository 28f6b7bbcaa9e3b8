//! A database whose disk is full, until somebody makes room.
//!
//! What does not belong here: databases that refuse for other reasons (`locked_out`).

use holdfast_test_support::rig::RigError;
use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::rig::disk::SmallDisk;
use holdfast_test_support::{Kind, OrFail, Setup, TestDatabase, for_both, is_long};

use crate::endure::{endure, short_lived};

/// Enough for an empty database of either kind, and some seconds of sale.
const DISK_MEBIBYTES: u32 = 96;

for_both!(a_full_disk_loses_nothing);

async fn a_full_disk_loses_nothing(setup: Setup) {
    let disk = match SmallDisk::mount(DISK_MEBIBYTES) {
        Ok(disk) => disk,
        // Such as in a container without rights over its file systems.
        Err(error @ RigError::NotPermitted { .. }) if !is_long() => {
            eprintln!("not tested here: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut server = None;
    let database = match setup.kind {
        Kind::Sqlite => TestDatabase::sqlite_in(&disk.path()),
        Kind::MariaDb => {
            let mariadb = server.insert(MariaDb::builder().data_in(disk.path()).start().await.or_fail());
            TestDatabase::mariadb(&mariadb.url()).await.or_fail()
        }
    };
    let sale = short_lived(&setup).start_on(database).await;
    endure(&sale, async |_, products| {
        disk.fill().or_fail();
        sale.readiness_is(503).await;
        // Whoever looks is still served.
        sale.stock(products[0]).await;
        disk.free().or_fail();
    })
    .await;
}
