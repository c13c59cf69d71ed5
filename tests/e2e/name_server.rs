//! A name server of the test's own: UDP on loopback, TXT and A records that a test puts in and takes out.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, TXT},
    },
};
use tokio::net::UdpSocket;

#[derive(Debug, Clone, Default)]
pub struct NameServer {
    texts: Arc<Mutex<HashMap<String, Vec<String>>>>,
    addresses: Arc<Mutex<HashMap<String, Vec<Ipv4Addr>>>>,
}

impl NameServer {
    /// Serves in a thread of its own, for as long as the test process lives: tests of several runtimes ask it.
    pub fn start() -> (Self, SocketAddr) {
        let server = Self::default();
        let serving = server.clone();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                socket.set_nonblocking(true).unwrap();
                let socket = UdpSocket::from_std(socket).unwrap();
                let mut buffer = [0; 4096];
                loop {
                    let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                    let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
                    let _ = socket.send_to(&serving.answer(&query).to_vec().unwrap(), from).await;
                }
            });
        });
        (server, address)
    }

    /// What stands in TXT records at a name, and nothing else does.
    pub fn set(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        self.texts.lock().unwrap().insert(name.to_owned(), texts);
    }

    pub fn remove(&self, name: &str) {
        self.texts.lock().unwrap().remove(name);
    }

    pub fn set_address(&self, name: &str, address: Ipv4Addr) {
        self.set_addresses(name, &[address]);
    }

    pub fn set_addresses(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.addresses.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    }

    fn answer(&self, query: &Message) -> Message {
        let mut answer = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        let Some(asked) = query.queries.first() else { return answer };
        answer.add_query(asked.clone());
        let name = asked.name().to_ascii().trim_end_matches('.').to_lowercase();
        let records: Vec<RData> = match asked.query_type() {
            RecordType::TXT => {
                let texts = self.texts.lock().unwrap().get(&name).cloned().unwrap_or_default();
                texts.into_iter().map(|text| RData::TXT(TXT::new(vec![text]))).collect()
            }
            RecordType::A => {
                let addresses = self.addresses.lock().unwrap().get(&name).cloned().unwrap_or_default();
                addresses.into_iter().map(|address| RData::A(A(address))).collect()
            }
            _ => Vec::new(),
        };
        // A name that has addresses has none of the other family, but it is there.
        if records.is_empty() && !self.addresses.lock().unwrap().contains_key(&name) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        let owner: Name = asked.name().clone();
        answer.add_answers(records.into_iter().map(|data| Record::from_rdata(owner.clone(), 0, data)));
        answer
    }
}
