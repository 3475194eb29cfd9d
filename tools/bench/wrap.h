/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the wrapper program and the one who runs it agree on. */
#ifndef BENCH_WRAP_H
#define BENCH_WRAP_H

#define WRAP_FRAME 128 /* bytes of every frame */
#define WRAP_HEAD 80 /* so many of them are written anew for every packet: no program under test touches more */

#define WRAP_EMPTY 0 /* targets: the program that does nothing ... */
#define WRAP_TESTED 1 /* ... and the one under test */

#endif
