// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about stack depth and what comes after acceptance.

messages! {
    /// Stack depth and what comes after acceptance.
    Finish {
        /// `check_max_stack_depth_subprog`
        TooManyFrames { frames: u32 } E2BIG => "the call stack of {frames} frames is too deep !";
    }
}
