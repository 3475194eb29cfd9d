/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ending sockets of other processes by netlink (sock_diag): as if the kernel had to give the connection up. */
#ifndef DATAPATH_SOCK_DIAG_H
#define DATAPATH_SOCK_DIAG_H

#include "../bpf/abi.h"
#include "datapath/netlink.h"

int sock_diag_open(struct nl *nl); /* for the sockets of the network namespace that this thread is in now */

/*
 * Ends the connection: the process that has it gets ECONNABORTED, and of TCP the other side a reset. Exactly this one:
 * a socket with the same addresses and another cookie is left alone.
 * -ENOENT: there is none such (any more), or the kernel does not know (sock_diag_knows). -EOPNOTSUPP: it ends none.
 */
int sock_diag_end(struct nl *nl, const struct shunt_connection *c);
bool sock_diag_knows(struct nl *nl, uint8_t proto); /* the kernel can look for sockets of this protocol */

#endif
