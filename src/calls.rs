//! Calls over the network: what a probe or a hook asks, and what is made of the answer, as a kubelet does it
//! (Kubernetes, pkg/probe).
//!
//! No sockets and no clock: bytes go out, bytes come in, and at some point it is decided. However the answer is cut up on
//! its way, the same comes of it.

mod grpc;
mod http;

use crate::event::Outcome;
use crate::plan::{Endpoint, Handler, Role};
use grpc::Grpc;
pub use http::{Get, Url};
use http::{Http, Progress};

/// How much of an answer's body is read, in bytes; a kubelet's own bound.
const MOST_OF_A_BODY: usize = 10 * 1024;

/// What a call needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More of the answer.
    More,
    /// Another connection, to [`Call::port`], and what is unsent goes there.
    Connect,
    /// Nothing: this came of it.
    Decided(Outcome),
}

/// One call, from its first connection to what came of it.
#[derive(Clone, Debug)]
pub struct Call {
    port: u16,
    outgoing: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
    dialogue: Dialogue,
}

/// What is talked about on the connection.
#[derive(Clone, Debug)]
enum Dialogue {
    /// Nothing: that there is one is enough.
    Tcp,
    Http(Box<Http>),
    Grpc(Grpc),
}

impl Call {
    /// The call that this handler makes; None for one that makes none.
    #[must_use]
    pub fn new(role: Role, handler: &Handler) -> Option<Call> {
        match handler {
            Handler::Tcp(endpoint) => Some(Call::tcp(endpoint.port)),
            Handler::Http(get) => {
                let host = host(&get.endpoint);
                let url = Url { host, port: get.endpoint.port, path: get.path.clone() };
                Some(Call::http(Get {
                    url,
                    headers: get.headers.clone(),
                    is_hook: role.is_hook(),
                    most: MOST_OF_A_BODY,
                    keeps_body: false,
                }))
            }
            Handler::Grpc(endpoint, service) => {
                Some(Call::grpc(&host(endpoint), endpoint.port, service, role.is_hook()))
            }
            Handler::Exec(_) | Handler::Sleep => None,
        }
    }

    /// Connects.
    #[must_use]
    pub fn tcp(port: u16) -> Call {
        Call { port, outgoing: Vec::new(), sent: 0, dialogue: Dialogue::Tcp }
    }

    /// Asks for a page.
    #[must_use]
    pub fn http(get: Get) -> Call {
        let http = Http::new(get);
        Call {
            port: http.port(),
            outgoing: http.request(),
            sent: 0,
            dialogue: Dialogue::Http(Box::new(http)),
        }
    }

    /// Asks for the health of this service; `host` is what the server is called.
    #[must_use]
    pub fn grpc(host: &str, port: u16, service: &str, is_hook: bool) -> Call {
        let outgoing = grpc::request(&format!("{host}:{port}"), service, agent(is_hook));
        Call { port, outgoing, sent: 0, dialogue: Dialogue::Grpc(Grpc::default()) }
    }

    /// Where to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection is all that is wanted.
    #[must_use]
    pub fn is_only_a_connection(&self) -> bool {
        matches!(self.dialogue, Dialogue::Tcp)
    }

    /// What is to be sent.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.outgoing.get(self.sent..).unwrap_or_default()
    }

    /// So much of it has been sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.outgoing.len().min(self.sent.saturating_add(count));
    }

    /// Takes in what was answered.
    pub fn read(&mut self, bytes: &[u8]) -> Next {
        match &mut self.dialogue {
            Dialogue::Tcp => Next::Decided(Outcome::Passed),
            Dialogue::Http(http) => match http.read(bytes) {
                Ok(Progress::More) => Next::More,
                Ok(Progress::Follow) => {
                    (self.port, self.outgoing, self.sent) = (http.port(), http.request(), 0);
                    Next::Connect
                }
                Ok(Progress::Done) => Next::Decided(Outcome::Passed),
                Err(reason) => Next::Decided(Outcome::Failed(reason)),
            },
            Dialogue::Grpc(grpc) => {
                if self.sent == self.outgoing.len() {
                    self.outgoing.clear();
                    self.sent = 0;
                }
                match grpc.read(bytes, &mut self.outgoing) {
                    Ok(false) => Next::More,
                    Ok(true) => Next::Decided(Outcome::Passed),
                    Err(reason) => Next::Decided(Outcome::Failed(reason)),
                }
            }
        }
    }

    /// What comes of it where nothing more is answered.
    pub fn end(&mut self) -> Outcome {
        let (ended, is_begun) = match &mut self.dialogue {
            Dialogue::Tcp => return Outcome::Passed,
            Dialogue::Http(http) => (http.end(), http.is_begun()),
            Dialogue::Grpc(grpc) => (None, grpc.is_begun()),
        };
        match ended {
            Some(Ok(())) => Outcome::Passed,
            Some(Err(reason)) => Outcome::Failed(reason),
            None if is_begun => Outcome::Failed("closed the connection within its answer".to_owned()),
            None => Outcome::Failed("closed the connection without an answer".to_owned()),
        }
    }

    /// The body of the answer, where it is kept.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.dialogue {
            Dialogue::Http(http) => http.body(),
            Dialogue::Tcp | Dialogue::Grpc(_) => &[],
        }
    }
}

/// Whether a header can be called so (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_fit)
}

/// Who we say we are.
fn agent(is_hook: bool) -> &'static str {
    if is_hook {
        concat!("sexton-hook/", env!("CARGO_PKG_VERSION"))
    } else {
        concat!("sexton-probe/", env!("CARGO_PKG_VERSION"))
    }
}

/// The host of a URL that leads there.
fn host(endpoint: &Endpoint) -> String {
    endpoint.host.map_or_else(|| "localhost".to_owned(), http::host_of)
}
