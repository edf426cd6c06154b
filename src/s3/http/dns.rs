//! Resolves host names once for many connections, and spreads these over all addresses.
//!
//! S3 returns several of its many addresses. One look-up per connection would send thousands of queries at the start, and
//! still often put all connections on one address.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::Shared;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::locks::lock;

/// How long a look-up is reused: long enough for a burst of connections, short enough to follow S3, whose records live
/// for seconds and hold other addresses each time.
const LIFETIME: Duration = Duration::from_secs(10);

/// Addresses of a family that one connection tries. They share its time limit, so that with more of them, too little would be
/// left for each; and the next connection begins with another one.
const MAX_PER_FAMILY: usize = 2;

/// A resolver whose clones share their look-ups.
#[derive(Clone, Default)]
pub(crate) struct CachingResolver {
    lookups: Arc<Mutex<HashMap<String, Lookup>>>,
}

struct Lookup {
    started: Instant,
    addresses: Addresses,
    /// Connections that used it so far.
    n_uses: usize,
}

type Addresses =
    Shared<Pin<Box<dyn Future<Output = Result<Arc<[SocketAddr]>, Arc<io::Error>>> + Send>>>;

/// The system found no address for the name.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve `{host}`")]
pub(crate) struct NotResolved {
    pub host: String,
    pub source: Arc<io::Error>,
}

impl CachingResolver {
    /// The look-up to use for `host`, and how many connections used it before.
    fn lookup(&self, host: &str) -> (Addresses, usize) {
        let mut lookups = lock(&self.lookups);
        let is_stale = |lookup: &Lookup| {
            let has_failed = matches!(lookup.addresses.peek(), Some(Err(_)));
            has_failed || lookup.started.elapsed() > LIFETIME
        };
        if lookups.get(host).is_none_or(is_stale) {
            let lookup = Lookup {
                started: Instant::now(),
                addresses: start_lookup(host.to_owned()),
                n_uses: 0,
            };
            lookups.insert(host.to_owned(), lookup);
        }
        let lookup = lookups.get_mut(host).expect("inserted above");
        lookup.n_uses += 1;
        (lookup.addresses.clone(), lookup.n_uses - 1)
    }
}

/// Asks the system on a separate thread, since the threads for file work may all be busy when a name is needed.
fn start_lookup(host: String) -> Addresses {
    let (sender, receiver) = oneshot::channel();
    let look_up = move || {
        let found = (host.as_str(), 0)
            .to_socket_addrs()
            .map(Iterator::collect::<Arc<[_]>>);
        // The receiver may have timed out.
        let _ = sender.send(found);
    };
    let started = std::thread::Builder::new().spawn(look_up);
    let found = async move {
        started.map_err(Arc::new)?;
        match receiver.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(Arc::new(error)),
            Err(_) => Err(Arc::new(io::Error::other(
                "the look-up ended without an answer",
            ))),
        }
    };
    found.boxed().shared()
}

impl Service<Name> for CachingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NotResolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotResolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotResolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Name) -> Self::Future {
        let (addresses, turn) = self.lookup(host.as_str());
        Box::pin(async move {
            let addresses = addresses.await.map_err(|source| NotResolved {
                host: host.as_str().to_owned(),
                source,
            })?;
            Ok(rotated(&addresses, turn).into_iter())
        })
    }
}

/// The addresses in the order to try them, starting with another one each `turn`. The address family that the system
/// put first stays first: it knows which one works here.
fn rotated(addresses: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (mut preferred, others): (Vec<_>, Vec<_>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let shift = turn % preferred.len();
    preferred.rotate_left(shift);
    preferred.truncate(MAX_PER_FAMILY);
    preferred.extend(others.into_iter().take(MAX_PER_FAMILY));
    preferred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_the_preferred_family() {
        let addresses = ["[::1]:0", "[::2]:0", "1.1.1.1:0"].map(|text| text.parse().unwrap());
        assert_eq!(rotated(&addresses, 0)[0], addresses[0]);
        assert_eq!(
            rotated(&addresses, 1),
            [addresses[1], addresses[0], addresses[2]]
        );
        assert_eq!(rotated(&addresses, 2)[0], addresses[0]);
        assert!(rotated(&[], 3).is_empty());
        let many: Vec<_> = (1..9).map(|n| ([10, 0, 0, n], 0).into()).collect();
        assert_eq!(rotated(&many, 7), [many[7], many[0]]);
    }

    #[tokio::test]
    async fn a_burst_of_connections_makes_one_lookup() {
        let resolver = CachingResolver::default();
        let (first, _) = resolver.lookup("localhost");
        let (second, turn) = resolver.lookup("localhost");
        assert!(first.ptr_eq(&second));
        assert_eq!(turn, 1);
        assert!(!first.await.unwrap().is_empty());
    }
}
