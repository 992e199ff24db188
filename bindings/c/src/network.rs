//! Networks: descriptions without memory.

pub mod layers;
pub mod options;

use crate::dataset::inspect::nth;
use crate::entry::{Answer, Fault, count, entry, extent, give_text, lookup, output, text};
use crate::handle::{Object, destroy, insert, with};
use crate::status::kmc_status;
use kamacite::{Mode, Network, NodeId};
use std::ffi::c_char;

/// The description of a network: a list of layers, each after one or several earlier nodes. Made by `kmc_network_create`, destroyed by
/// `kmc_network_destroy`; models and trainers take a copy.
pub struct kmc_network {
    _opaque: [u8; 0],
}

/// A node, counted from 0 in the order in which inputs and layers were added. The first input is node 0.
pub type kmc_node = i32;
/// The node added last.
pub const KMC_LAST: i32 = -1;

/// The node of this number.
pub(crate) fn node(net: &Network, id: kmc_node, what: &str) -> Answer<NodeId> {
    let nodes = net.nodes();
    match id {
        KMC_LAST => nodes.last().ok_or_else(|| Fault::value(what, "a network with nodes", "none")),
        id => nth(nodes, i64::from(id), what),
    }
}

/// The number of a node.
pub(crate) fn number(net: &Network, id: NodeId) -> kmc_node {
    net.nodes().position(|n| n == id).map_or(KMC_LAST, |i| i as kmc_node)
}

/// A network with one input of d x h x w x c values a sample: a table of 4 columns is 1, 1, 1, 4, a spectrum 1, 1, w, 1, an image 1, h, w, c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_create(out: *mut *mut kmc_network, d: i64, h: i64, w: i64, c: i64) -> kmc_status {
    entry("kmc_network_create", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        *out = insert(Object::Network(Network::new(extent(d, h, w, c)?)))?;
        Ok(())
    })
}

/// Destroys a network. NULL is allowed, and nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_destroy(net: *mut kmc_network) -> kmc_status {
    entry("kmc_network_destroy", || destroy(net, "net"))
}

/// A copy, to be changed on its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_clone(out: *mut *mut kmc_network, net: *mut kmc_network) -> kmc_status {
    entry("kmc_network_clone", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        *out = insert(Object::Network(with(net, "net", |net| Ok(net.clone()))?))?;
        Ok(())
    })
}

/// Adds another input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_input(
    net: *mut kmc_network,
    name: *const c_char,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
) -> kmc_status {
    entry("kmc_network_input", || {
        // SAFETY: the crate's contract.
        let name = unsafe { text(name, "name") }?;
        let extent = extent(d, h, w, c)?;
        with(net, "net", |net| {
            net.input(name, extent);
            Ok(())
        })
    })
}

/// The node that was added last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_last(out: *mut kmc_node, net: *mut kmc_network) -> kmc_status {
    lookup("kmc_network_last", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(net, "net", |net| {
            *out = number(net, node(net, KMC_LAST, "net")?);
            Ok(())
        })
    })
}

/// The node of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_node(out: *mut kmc_node, net: *mut kmc_network, name: *const c_char) -> kmc_status {
    entry("kmc_network_node", || {
        // SAFETY: the crate's contract.
        let (out, name) = unsafe { (output(out, "out")?, text(name, "name")?) };
        with(net, "net", |net| {
            let id = net.node(name).ok_or_else(|| {
                let known: Vec<&str> = net.nodes().map(|n| net.name_of(n)).collect();
                Fault::value("name", format!("one of {}", known.join(", ")), name)
            })?;
            *out = number(net, id);
            Ok(())
        })
    })
}

/// The name of a node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_node_name(out: *mut *const c_char, net: *mut kmc_network, node: kmc_node) -> kmc_status {
    entry("kmc_network_node_name", || {
        let name = with(net, "net", |net| Ok(net.name_of(self::node(net, node, "node")?).to_string()))?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &name) }
    })
}

/// Names a node; its weights are then called `name.weight` and so on. Without this a layer is called by its kind and number: `conv2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_set_name(net: *mut kmc_network, node: kmc_node, name: *const c_char) -> kmc_status {
    entry("kmc_network_set_name", || {
        // SAFETY: the crate's contract.
        let name = unsafe { text(name, "name") }?;
        with(net, "net", |net| {
            let id = self::node(net, node, "node")?;
            net.name(id, name);
            Ok(())
        })
    })
}

/// Declares an output. A network without any has one, `output`: its last node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_output(net: *mut kmc_network, name: *const c_char, node: kmc_node) -> kmc_status {
    entry("kmc_network_output", || {
        // SAFETY: the crate's contract.
        let name = unsafe { text(name, "name") }?;
        with(net, "net", |net| {
            let id = self::node(net, node, "node")?;
            net.output(name, id);
            Ok(())
        })
    })
}

/// A copy of the nodes up to `last`: an encoder without its head.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_up_to(out: *mut *mut kmc_network, net: *mut kmc_network, last: kmc_node) -> kmc_status {
    entry("kmc_network_up_to", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        let part = with(net, "net", |net| Ok(net.up_to(node(net, last, "last")?)))?;
        *out = insert(Object::Network(part))?;
        Ok(())
    })
}

/// A table of nodes, sizes, parameters and memory for batches of `batch`. Fails where the network is impossible, and says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_summary(out: *mut *const c_char, net: *mut kmc_network, batch: i64) -> kmc_status {
    entry("kmc_network_summary", || {
        let batch = count(batch, "batch")?.max(1);
        let report = with(net, "net", |net| Ok(net.report(Mode::Train, batch)?))?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &report.to_string()) }
    })
}

/// The number of trained parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_parameters(out: *mut i64, net: *mut kmc_network) -> kmc_status {
    entry("kmc_network_parameters", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        *out = with(net, "net", |net| Ok(net.report(Mode::Infer, 1)?.parameters()))? as i64;
        Ok(())
    })
}
