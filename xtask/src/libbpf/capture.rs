// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What libbpf makes of an object.
#![allow(unsafe_code)]

use super::interpose::{self, Object, Record};
use anyhow::{Result, bail};
use libbpf_sys as sys;
use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Mutex;

/// Warnings of libbpf since they were taken last.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" {
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut sys::__va_list_tag,
    ) -> c_int;
}

/// libbpf's print callback.
unsafe extern "C" fn print(
    level: sys::libbpf_print_level,
    format: *const c_char,
    arguments: *mut sys::__va_list_tag,
) -> c_int {
    if level == sys::LIBBPF_WARN {
        let mut buffer = vec![0 as c_char; 1024];
        // SAFETY: libbpf hands in a format with its arguments; the buffer is as long as is said.
        let text = unsafe {
            vsnprintf(buffer.as_mut_ptr(), buffer.len(), format, arguments);
            CStr::from_ptr(buffer.as_ptr()).to_string_lossy().trim_end().to_owned()
        };
        if let Ok(mut warnings) = WARNINGS.lock() {
            warnings.push(text);
        }
    }
    0
}

/// The first warning that is no mere notice.
fn warning() -> String {
    let all = WARNINGS.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
    let mut all = all.into_iter().filter(|text| !text.contains("Detection of kernel"));
    all.next().unwrap_or_else(|| "no message".into())
}

/// A program as libbpf loads it, or why it does not.
pub(crate) struct Captured {
    pub(crate) name: String,
    /// The record, and the load in it.
    pub(crate) load: Result<(Rc<Record>, usize), String>,
}

/// What libbpf makes of all programs of an object; `Err` if it does not open it.
pub(crate) fn capture(file: &Path) -> Result<Result<Vec<Captured>, String>> {
    // SAFETY: the callback is as libbpf expects.
    unsafe { sys::libbpf_set_print(Some(print)) };
    let path = CString::new(file.as_os_str().as_bytes())?;
    let object = match Opened::open(&path) {
        Ok(object) => object,
        Err(message) => return Ok(Err(message)),
    };
    let count = object.programs().len();
    let all = object.load(|_, is_ext| !is_ext)?;
    drop(object);
    if all.iter().all(|captured| captured.load.is_ok()) {
        return Ok(Ok(all));
    }
    let mut each = Vec::with_capacity(count);
    for wanted in 0..count {
        let object = match Opened::open(&path) {
            Ok(object) => object,
            Err(message) => bail!("the object cannot be opened again: {message}"),
        };
        let mut programs = object.load(|index, _| index == wanted)?;
        each.push(programs.swap_remove(wanted));
    }
    Ok(Ok(each))
}

/// An open object.
struct Opened(*mut sys::bpf_object);

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed once.
        unsafe { sys::bpf_object__close(self.0) };
    }
}

impl Opened {
    fn open(path: &CStr) -> Result<Self, String> {
        let _ = warning();
        // SAFETY: the path ends with a zero byte; no options.
        let object = unsafe { sys::bpf_object__open_file(path.as_ptr(), std::ptr::null()) };
        if object.is_null() {
            return Err(warning());
        }
        // Nothing is pinned.
        // SAFETY: the object is open, and maps belong to it.
        unsafe {
            let mut map = sys::bpf_object__next_map(object, std::ptr::null());
            while !map.is_null() {
                sys::bpf_map__set_pin_path(map, std::ptr::null());
                map = sys::bpf_object__next_map(object, map);
            }
        }
        Ok(Self(object))
    }

    fn programs(&self) -> Vec<*mut sys::bpf_program> {
        let mut list = Vec::new();
        // SAFETY: the object is open, and programs belong to it.
        unsafe {
            let mut program = sys::bpf_object__next_program(self.0, std::ptr::null_mut());
            while !program.is_null() {
                list.push(program);
                program = sys::bpf_object__next_program(self.0, program);
            }
        }
        list
    }

    /// Loads the wanted programs, by number and whether they replace functions.
    fn load(&self, wanted: impl Fn(usize, bool) -> bool) -> Result<Vec<Captured>> {
        let programs = self.programs();
        // SAFETY: the programs belong to the open object.
        unsafe {
            for (index, program) in programs.iter().enumerate() {
                let is_ext = sys::bpf_program__type(*program) == sys::BPF_PROG_TYPE_EXT;
                sys::bpf_program__set_autoload(*program, wanted(index, is_ext));
            }
        }
        interpose::take();
        let _ = warning();
        // SAFETY: the object is open and not yet loaded.
        let result = unsafe { sys::bpf_object__load(self.0) };
        let message = warning();
        // Descriptors are open until the object is closed.
        let fds: Vec<c_int> =
            // SAFETY: as above.
            programs.iter().map(|program| unsafe { sys::bpf_program__fd(*program) }).collect();
        let record = interpose::take();
        if !record.unexpected.is_empty() {
            bail!("libbpf used bpf() commands that are not answered: {:?}", record.unexpected);
        }
        let record = Rc::new(record);
        let captured = programs.iter().zip(fds).map(|(program, fd)| {
            // SAFETY: the name belongs to the program.
            let name = unsafe { CStr::from_ptr(sys::bpf_program__name(*program)) };
            let load = match record.object(fd) {
                Some(Object::Program(load)) if result == 0 => Ok((Rc::clone(&record), load)),
                _ => Err(message.clone()),
            };
            Captured { name: name.to_string_lossy().into_owned(), load }
        });
        Ok(captured.collect())
    }
}
