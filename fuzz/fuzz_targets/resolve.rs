//! Whatever a name server says, and whatever stands in the files: nothing panics, and nobody else's answer counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sexton::resolve::{Lookup, Settings, hosts};

fuzz_target!(|data: &[u8]| {
    let [high, low, how, data @ ..] = data else { return };
    let text = String::from_utf8_lossy(data);
    let (host, text) = text.split_once('\n').unwrap_or((&text, ""));
    let settings = Settings::read(text);
    assert!((1..=3).contains(&settings.servers.len()) && (1..=5).contains(&settings.attempts));
    assert!(hosts(text, host).len() <= text.lines().count());
    let names = settings.names(host);
    assert!(names.iter().all(|name| name.starts_with(host.trim_end_matches('.'))));
    for name in names {
        let Some(lookup) = Lookup::new(&name, [*high, *low]) else { continue };
        for question in lookup.open() {
            assert!(question.len() == name.len() + 18);
            assert!(lookup.clone().read(question) && lookup.open().len() == 2, "its own question is no answer");
        }
    }

    // Datagrams with the right beginning, so that more than their beginning is looked at.
    let mut lookup = Lookup::new("a.b", [*high, *low]).expect("a name");
    let (mut asked, mut bytes) = (2, 0);
    for (number, rest) in data.chunks(1 + usize::from(*how)).enumerate() {
        let question = lookup.open().get(number % 2).cloned().unwrap_or_default();
        let mut datagram = question.clone();
        if let ([flags, code, count, ..], Some(head)) = (rest, datagram.get_mut(2..8)) {
            head.copy_from_slice(&[*flags, *code, 0, 1, 0, *count]);
        }
        datagram.extend(rest.get(3..).unwrap_or_default());
        let before = lookup.addresses().len();
        let knows = lookup.read(&datagram);
        bytes += datagram.len();
        let open = lookup.open().len();
        assert!(open == asked || (knows && open + 1 == asked), "it answers more than it was asked");
        assert!(lookup.addresses().len() == before || !question.is_empty(), "nobody asked");
        assert!(lookup.addresses().len() * 14 <= bytes);
        assert!(lookup.addresses().is_sorted_by_key(std::net::IpAddr::is_ipv6));
        asked = open;
    }
});
