//! Shadows: the anatomy of a subject and the things around it, laid on a film.

use rand::Rng;

use super::curve::{Curve, Vector};
use super::exposure::Exposure;
use super::film::Film;
use super::subject::{FILM, Subject, spread};
use super::template as t;
use sweep_core::units::Size;

/// Draws the picture of a subject: grey values, row by row.
pub(super) fn radiograph(subject: &Subject, size: Size, rng: &mut impl Rng) -> Vec<u8> {
    let mut film = Film::new(size);
    soft_tissue(&mut film, subject);
    spine(&mut film, subject);
    cranium(&mut film, subject, rng);
    let far = Vector::new(spread(rng, 1.3), spread(rng, 1.0));
    face(&mut film, subject, far);
    temporal(&mut film, subject, far, rng);
    mandible(&mut film, subject, far);
    teeth(&mut film, subject, rng);
    cephalostat(&mut film, subject, rng);
    frame(&mut film, rng);
    let exposure = Exposure::draw(rng);
    film.develop(&exposure, rng)
}

fn closed(subject: &Subject, control: t::Points) -> Curve {
    subject.outline(control.iter().copied())
}

fn soft_tissue(film: &mut Film, subject: &Subject) {
    let skin = closed(subject, t::SKIN);
    film.body(&skin, 22.0, 0.26);
    film.line(&skin, 1.6, 0.03);
    film.body(&closed(subject, t::AIRWAY), 6.0, -0.18);
    let hyoid = closed(subject, t::HYOID);
    film.body(&hyoid, 2.0, 0.08);
    film.line(&hyoid, 0.8, 0.05);
}

/// A bone with a thin cortex: a body and the line around it.
fn bone(film: &mut Film, outline: &Curve, softness: f32, body: f32, amount: f32) {
    film.body(outline, softness, body);
    cortex(film, outline, 0.9, amount);
}

/// Compact bone seen edge-on: sharp where the rays graze it, with a soft seam where it curves away.
fn cortex(film: &mut Film, curve: &Curve, width: f32, amount: f32) {
    film.line(curve, width, 0.62 * amount);
    film.line(curve, 4.0 * width, 0.38 * amount);
}

fn spine(film: &mut Film, subject: &Subject) {
    for arch in t::ATLAS {
        bone(film, &closed(subject, arch), 2.5, 0.16, 0.12);
    }
    bone(film, &closed(subject, t::AXIS), 4.0, 0.18, 0.13);
    for (x, y) in t::VERTEBRAE {
        for (shape, body, cortex) in [(t::VERTEBRA, 0.18, 0.14), (t::SPINE, 0.1, 0.08)] {
            let outline = subject.outline(shape.iter().map(|&(dx, dy)| (x + dx, y + dy)));
            bone(film, &outline, 3.0, body, cortex);
        }
    }
    film.body(&closed(subject, t::SHOULDER), 14.0, 0.9);
}

fn cranium(film: &mut Film, subject: &Subject, rng: &mut impl Rng) {
    let outer: Vec<(f64, f64)> = t::VAULT_OUTER.iter().chain(CRANIAL_BASE).copied().collect();
    let outer = subject.outline(outer);
    // Two walls seen face-on, and the brain between them.
    film.body(&outer, 38.0, 0.42);
    film.body(&outer, 5.0, 0.24);
    let inner: Vec<(f64, f64)> = t::VAULT_INNER.iter().chain(CRANIAL_FLOOR).copied().collect();
    film.body(&subject.outline(inner), 3.0, -0.12);
    cortex(film, &subject.line(t::VAULT_OUTER), 1.2, 0.14);
    let inner = subject.line(t::VAULT_INNER);
    cortex(film, &inner, 1.2, 0.2);
    let other = Vector::new(2.0 + spread(rng, 0.8), -1.2 + spread(rng, 0.8));
    film.line(&inner.map(|point| point + other), 1.6, 0.06);
    for groove in t::GROOVES {
        film.line(&subject.line(groove), 1.2, -0.05);
    }
    film.body(&closed(subject, t::FRONTAL_SINUS), 2.0, -0.3);
    film.line(&closed(subject, t::FRONTAL_SINUS), 0.8, 0.14);
    cortex(film, &subject.line(t::ANTERIOR_BASE), 1.0, 0.34);
    let roof = subject.line(t::ORBITAL_ROOF);
    film.line(&roof, 1.0, 0.22);
    let offset = Vector::new(spread(rng, 0.8), -1.8 + spread(rng, 0.6));
    film.line(&roof.map(|point| point + offset), 1.0, 0.15);
    film.body(&closed(subject, t::SPHENOID), 7.0, 0.2);
    film.body(&closed(subject, t::SPHENOID_SINUS), 4.0, -0.14);
    film.line(&closed(subject, t::SPHENOID_SINUS), 0.8, 0.06);
    cortex(film, &subject.line(t::SELLA), 1.0, 0.4);
    bone(film, &closed(subject, t::ANTERIOR_CLINOID), 1.5, 0.12, 0.14);
    // Shallow prints of the brain on the inner table, and sutures.
    for _ in 0..9 {
        let centre = subject.point((-25.0 + spread(rng, 30.0), -45.0 + spread(rng, 18.0)));
        let radius = Vector::new(9.0 + spread(rng, 2.0), 7.0 + spread(rng, 1.6));
        film.body(&Curve::ellipse(centre, radius), 7.0, spread(rng, 0.025) as f32);
    }
}

/// Closes the outer table along the base.
const CRANIAL_BASE: t::Points = &[(-38.0, 43.0), (-22.0, 39.0), (-12.0, 22.0), (2.0, 8.0), (20.0, -4.0), (40.0, -13.0)];

/// Closes the inner table along the fossae.
const CRANIAL_FLOOR: t::Points =
    &[(-36.0, 40.0), (-22.0, 36.0), (-13.0, 14.0), (-7.0, -4.0), (10.0, -6.0), (32.0, -11.0)];

fn face(film: &mut Film, subject: &Subject, far: Vector) {
    film.body(&closed(subject, t::MIDFACE), 6.0, 0.12);
    film.body(&closed(subject, t::MAXILLA), 8.0, 0.18);
    film.body(&closed(subject, t::MAXILLARY_SINUS), 5.0, -0.27);
    film.line(&closed(subject, t::MAXILLARY_SINUS), 0.7, 0.08);
    for wall in t::ETHMOID {
        film.line(&subject.line(wall), 0.9, 0.12);
        film.line(&subject.line(wall).map(|point| point + far), 0.9, 0.08);
    }
    let nasal = closed(subject, t::NASAL);
    film.body(&nasal, 2.0, 0.12);
    film.line(&subject.line(t::NASAL), 1.0, 0.2);
    let nasion = subject.landmarks()[1];
    let inner = subject.point((58.0 + t::SUTURE_OFFSET.0, -7.4 + t::SUTURE_OFFSET.1));
    film.line(&Curve { points: vec![nasion, inner], closed: false }, 0.8, -0.14);

    let orbit = subject.line(t::ORBIT);
    film.line(&orbit.map(|point| point + far), 1.2, 0.14);
    cortex(film, &orbit, 1.1, 0.36);
    film.line(&subject.line(t::ORBITAL_FLOOR), 0.9, 0.14);
    let zygoma = closed(subject, t::ZYGOMA);
    bone(film, &zygoma, 5.0, 0.26, 0.06);
    film.line(&zygoma.map(|point| point + far), 0.9, 0.08);
    film.line(&subject.line(t::ZYGOMATIC_ARCH), 2.0, 0.12);
    let fissure = closed(subject, t::FISSURE);
    film.body(&fissure, 2.0, -0.1);
    film.line(&fissure, 0.9, 0.16);

    cortex(film, &subject.line(t::MAXILLA_FRONT), 0.9, 0.3);
    cortex(film, &subject.line(t::PALATE_UPPER), 1.0, 0.32);
    film.line(&subject.line(t::PALATE_LOWER), 1.0, 0.2);
}

fn temporal(film: &mut Film, subject: &Subject, far: Vector, rng: &mut impl Rng) {
    film.body(&closed(subject, t::TEMPORAL), 16.0, 0.3);
    film.line(&subject.line(t::PETROUS), 2.2, 0.12);
    film.line(&subject.line(t::PETROUS).map(|point| point + far * 2.0), 2.0, 0.08);
    let ((x, y), (wide, high)) = t::MASTOID;
    for _ in 0..34 {
        let centre = subject.point((x + spread(rng, wide), y + spread(rng, high)));
        let radius = 1.0 + 1.6 * rng.random::<f64>();
        let cell = Curve::ellipse(centre, Vector::new(radius, radius * 1.2));
        film.body(&cell, 1.5, -0.07);
        film.line(&cell, 0.7, 0.07);
    }
    let meatus = subject.meatus_outline();
    film.line(&meatus.map(|point| point + far), 0.9, 0.12);
    film.body(&meatus, 3.0, -0.4);
    cortex(film, &meatus, 1.0, 0.5);
}

fn mandible(film: &mut Film, subject: &Subject, far: Vector) {
    let outline = closed(subject, t::MANDIBLE);
    let border = subject.part(t::MANDIBLE, t::MANDIBLE_CORTEX);
    let other = far * 1.3;
    film.body(&outline.map(|point| point + other), 6.0, 0.14);
    film.line(&border.map(|point| point + other), 1.1, 0.12);
    film.body(&outline, 6.0, 0.18);
    film.line(&outline, 0.9, 0.06);
    cortex(film, &border, 1.2, 0.22);
    cortex(film, &subject.part(t::MANDIBLE, t::MANDIBLE_BORDER), 1.4, 0.16);
    cortex(film, &subject.line(t::SYMPHYSIS_INNER), 1.2, 0.24);
    film.line(&subject.line(t::BORDER_INNER), 2.2, 0.1);
    film.line(&subject.line(t::CANAL), 2.0, -0.05);
}

fn teeth(film: &mut Film, subject: &Subject, rng: &mut impl Rng) {
    let filled = rng.random::<f64>();
    for ((x, y), width) in t::SIDE_TEETH {
        for side in [-1.0, 1.0] {
            let shape = |&(along, height): &(f64, f64)| (x + along * width, y + side * height);
            bone(film, &subject.outline(t::TOOTH.iter().map(shape)), 2.5, 0.22, 0.06);
            let crown = t::TOOTH.iter().filter(|(_, height)| *height < 7.0).map(shape);
            film.body(&subject.outline(crown), 2.0, 0.3);
            // Metal is white on any film.
            if rng.random::<f64>() < 0.5 * filled {
                let plug = Vector::new(0.26 * width, 1.6);
                film.body(&Curve::ellipse(subject.point((x, y + side * 3.0)), plug), 1.0, 1.6);
            }
        }
    }
    for incisor in subject.incisors() {
        bone(film, &incisor, 2.0, 0.34, 0.12);
    }
}

/// Ear rod, and in most clinics a rest for the forehead with a scale.
fn cephalostat(film: &mut Film, subject: &Subject, rng: &mut impl Rng) {
    let landmarks = subject.landmarks();
    let ear = landmarks[3] + Vector::new(spread(rng, 0.4), 5.6 + spread(rng, 0.4));
    for (radius, amount) in [(8.6, 0.14), (6.6, 0.1)] {
        film.line(&Curve::ellipse(ear, Vector::new(radius, radius)), 0.8, amount);
    }
    if rng.random::<f64>() > 0.8 {
        return;
    }
    let x = landmarks[1].x + 24.0 + spread(rng, 2.5);
    let y = landmarks[1].y + 8.0 + spread(rng, 4.0);
    let at = |dx: f64, dy: f64| (x + dx, y + dy);
    let rest = [at(-19.0, -4.0), at(-2.0, -4.0), at(-2.0, -20.0), at(6.0, -20.0), at(6.0, 4.0), at(-19.0, 4.0)];
    film.body(&Curve::straight(&rest, true), 3.0, 0.14);
    let holder = [(x - 4.0, -9.0), (x + 8.0, -9.0), (x + 8.0, y - 60.0), (x - 4.0, y - 60.0)];
    film.body(&Curve::straight(&holder, true), 1.5, 0.3);
    film.line(&Curve::straight(&holder, true), 1.0, 0.3);
    let rod = [(x, -9.0), (x + 3.4, -9.0), (x + 3.4, y - 7.0), (x, y - 7.0)];
    film.body(&Curve::straight(&rod, true), 1.0, 0.5);
    for tick in 0..10 {
        let height = y - 8.0 - 2.0 * f64::from(tick);
        let mark = [(x + 0.2, height), (x + 3.2, height)];
        film.line(&Curve::straight(&mark, false), 0.7, 1.6);
    }
}

/// Collimator edges and the clips of the cassette.
fn frame(film: &mut Film, rng: &mut impl Rng) {
    let mut edge = || 0.4 + 1.4 * (spread(rng, 1.0) + 1.0).max(0.0);
    let (left, top, right, bottom) = (edge(), edge(), FILM.x - edge(), FILM.y - edge());
    let far = 9.0;
    let sides = [
        [(-far, -far), (left, -far), (left, FILM.y + far), (-far, FILM.y + far)],
        [(right, -far), (FILM.x + far, -far), (FILM.x + far, FILM.y + far), (right, FILM.y + far)],
        [(-far, -far), (FILM.x + far, -far), (FILM.x + far, top), (-far, top)],
        [(-far, bottom), (FILM.x + far, bottom), (FILM.x + far, FILM.y + far), (-far, FILM.y + far)],
    ];
    for side in sides {
        film.body(&Curve::straight(&side, true), 0.3, 2.5);
    }
    let first = 46.0 + spread(rng, 2.0);
    for clip in 0..3 {
        let x = first + 45.5 * f64::from(clip);
        for (upper, lower) in [(-far, 8.0), (FILM.y - 5.0, FILM.y + far)] {
            let tab = [(x, upper), (x + 12.4, upper), (x + 12.4, lower), (x, lower)];
            film.body(&Curve::straight(&tab, true), 0.3, 2.5);
        }
    }
}
