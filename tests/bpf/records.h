/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TESTS_RECORDS_H
#define TESTS_RECORDS_H

#define RECORDS 1024 /* connections that a test may put there */

#endif
