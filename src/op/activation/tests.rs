//! Activations against their derivatives, their limits, and each other.

use super::*;
use crate::device::Isa;

const ALL: [Activation; 14] = [
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.05, saturation: Some(2.0) },
    Activation::LeakyRelu { slope: 0.0, saturation: Some(1.5) },
    Activation::leaky_relu(0.1),
    Activation::Elu { alpha: 0.7 },
    Activation::Selu,
    Activation::Gelu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Logistic,
    Activation::ScaledLogistic { slope: 1.5, saturation: Some(40.0) },
    Activation::Softplus,
    Activation::Softmax,
];

/// Σ_i g_i·f(x)_i, whose gradient the backward pass computes for dy = g.
fn probe(cpu: &Cpu, act: Activation, x: &[f64], g: &[f64], c: usize) -> f64 {
    let mut y = vec![0.0; x.len()];
    forward(cpu, act, x, &mut y, c);
    y.iter().zip(g).map(|(y, g)| y * g).sum()
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let cpu = Cpu::new(1).unwrap();
    let c = 5;
    // No kink (0, 1.5, 2) within a step of a point.
    let x: Vec<f64> = (0..60).map(|i| f64::from(i) * 0.19 - 5.63).collect();
    let g: Vec<f64> = (0..60).map(|i| (f64::from(i) * 1.7).sin()).collect();
    for act in ALL {
        let mut y = vec![0.0; x.len()];
        forward(&cpu, act, &x, &mut y, c);
        let mut dx = g.clone();
        backward_in_place(&cpu, act, if act.reads() == Reads::X { &x } else { &y }, &mut dx, c);
        for i in 0..x.len() {
            let h = 1e-5;
            let at = |d: f64| {
                let mut x = x.clone();
                x[i] += d;
                probe(&cpu, act, &x, &g, c)
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            // h²·f‴/6 with f‴ below 6, and the rounding of a sum of 60 terms of size below 10 divided by 2h.
            let tolerance = h * h + 60.0 * 10.0 * f64::EPSILON / h;
            assert!((dx[i] - difference).abs() < tolerance, "{act:?} at {}: {} and {difference}", x[i], dx[i]);
        }
    }
}

#[test]
fn in_place_is_the_same_and_nan_passes() {
    let cpu = Cpu::new(1).unwrap();
    for act in ALL {
        let x: Vec<f32> = (0..32).map(|i| if i == 7 { f32::NAN } else { (i as f32 - 16.0) * 0.4 }).collect();
        let (mut y, mut z) = (vec![0.0; 32], x.clone());
        forward(&cpu, act, &x, &mut y, 4);
        forward_in_place(&cpu, act, &mut z, 4);
        assert!(y[7].is_nan(), "{act:?}");
        assert!(y.iter().zip(&z).all(|(y, z)| y.to_bits() == z.to_bits() || y.is_nan() && z.is_nan()), "{act:?}");
    }
}

#[test]
fn bits_depend_on_neither_threads_nor_instruction_set() {
    let c = 7;
    let x: Vec<f32> = (0..3 * CHUNK / c * c).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
    let g: Vec<f32> = x.iter().map(|x| 1.0 - x).collect();
    for act in ALL {
        let run = |cpu: &Cpu| {
            let (mut y, mut dx) = (vec![0.0; x.len()], g.clone());
            forward(cpu, act, &x, &mut y, c);
            backward_in_place(cpu, act, if act.reads() == Reads::X { &x } else { &y }, &mut dx, c);
            y.iter().chain(&dx).map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let one = run(&Cpu::with_isa(1, Isa::Portable).unwrap());
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            assert!(one == run(&Cpu::with_isa(3, isa).unwrap()), "{act:?} {isa}");
        }
    }
}

#[test]
fn kinks_and_limits() {
    let cpu = Cpu::new(1).unwrap();
    let act = Activation::LeakyRelu { slope: 0.25, saturation: Some(2.0) };
    let mut y = [-4.0, 0.0, 1.0, 2.0, 6.0];
    forward_in_place(&cpu, act, &mut y, 1);
    assert_eq!(y, [-1.0, 0.0, 1.0, 2.0, 3.0]);
    let mut dy = [1.0_f64; 5];
    backward_in_place(&cpu, act, &y, &mut dy, 1);
    assert_eq!(dy, [0.25, 0.25, 1.0, 0.25, 0.25]);

    let mut y = [-9.0_f64, 9.0];
    forward_in_place(&cpu, Activation::ScaledLogistic { slope: 1.5, saturation: Some(2.0) }, &mut y, 1);
    approx::assert_relative_eq!(y[0], 1.0 / (1.0 + 2_f64.exp()), max_relative = 1e-15);
    approx::assert_relative_eq!(y[1], 1.0 / (1.0 + (-13.5_f64).exp()), max_relative = 1e-15);

    let mut y = [1e4_f32, -1e4, 1e4, 1e4];
    forward_in_place(&cpu, Activation::Softmax, &mut y, 2);
    assert_eq!(y, [1.0, 0.0, 0.5, 0.5]);
    for act in [Activation::Softplus, Activation::Silu, Activation::Gelu] {
        let mut y = [1e4_f32, -1e4];
        forward_in_place(&cpu, act, &mut y, 1);
        assert_eq!(y, [1e4, 0.0], "{act:?}");
    }
}

#[test]
fn saved_form_keeps_an_infinite_saturation() {
    for act in ALL {
        let text = serde_json::to_string(&act).unwrap();
        assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), act, "{text}");
    }
    assert_eq!(serde_json::to_string(&Activation::Relu).unwrap(), "\"Relu\"");
}

#[test]
fn senseless_parameters_are_refused() {
    let bad = [
        Activation::leaky_relu(-0.1),
        Activation::leaky_relu(f64::NAN),
        Activation::LeakyRelu { slope: 0.1, saturation: Some(0.0) },
        Activation::Elu { alpha: f64::INFINITY },
        Activation::ScaledLogistic { slope: 0.0, saturation: None },
    ];
    for act in bad {
        assert_eq!(act.check().unwrap_err().kind(), crate::ErrorKind::Value, "{act:?}");
    }
    assert!(ALL.iter().all(|act| act.check().is_ok()));
}

#[test]
fn slices_are_checked_and_softmax_alone_looks_at_channels() -> Result<()> {
    let cpu = Cpu::new(1)?;
    let (x, mut y) = ([0.5_f32, -0.5, 1.0, 2.0, 0.0, -3.0], [9.0; 6]);
    for act in ALL {
        let c = if act == Activation::Softmax { 3 } else { 0 };
        let mut z = x;
        apply(&cpu, act, &x, &mut y, c)?;
        apply_in_place(&cpu, act, &mut z, c)?;
        let mut expected = [0.0; 6];
        forward(&cpu, act, &x, &mut expected, 3);
        assert_eq!((y, z), (expected, expected), "{act:?}");
        let (saved, mut dy, mut expected) = (if act.reads() == Reads::X { x } else { y }, [2.0; 6], [2.0; 6]);
        gradient_in_place(&cpu, act, &saved, &mut dy, c)?;
        backward_in_place(&cpu, act, &saved, &mut expected, 3);
        assert_eq!(dy, expected, "{act:?}");
        assert!(apply(&cpu, act, &x, &mut y[..5], c).is_err() && gradient_in_place(&cpu, act, &x[..5], &mut dy, c).is_err());
    }
    assert!(apply_in_place(&cpu, Activation::Softmax, &mut y, 4).is_err());
    assert!(apply_in_place(&cpu, Activation::Softmax, &mut y, 0).is_err());
    assert!(apply_in_place(&cpu, Activation::leaky_relu(-1.0), &mut y, 1).is_err());
    Ok(())
}
