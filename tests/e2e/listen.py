#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers of local services, and who asks them.

listen.py tcp NAME ADDRESS PORT [WORD...]   answers each connection with NAME, the address and port it was for, and closes
listen.py udp NAME ADDRESS PORT [WORD...]   answers each datagram with NAME and its length, from the address it was for
listen.py ask ADDRESS PORT [N [SIZE]]       asks the TCP server N times, or the UDP server with datagrams of SIZE bytes
  WORD: shared (SO_REUSEPORT), v6only, multipath (MPTCP), silent (UDP: prints length and address, and does not answer)
"""

import collections
import socket
import struct
import sys

IPPROTO_MPTCP = 262
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50


def open_socket(kind, address, port, words):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, kind, IPPROTO_MPTCP if "multipath" in words else 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "shared" in words:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "v6only" in words)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    if kind == socket.SOCK_DGRAM:
        s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    s.bind((address, int(port)))
    return s


def tcp(name, address, port, *words):
    s = open_socket(socket.SOCK_STREAM, address, port, words)
    s.listen(1024)
    while True:
        connection, _ = s.accept()
        with connection:
            at, port = connection.getsockname()[:2]
            try:
                connection.sendall(f"{name} {at} {port}\n".encode())
            except OSError:  # a health check wants no answer
                pass


# As servers do that listen on every address: the answer leaves from where the question came to.
def source(ancillary):
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return (level, kind, struct.pack("@I4s4s", 0, data[8:12], bytes(4)))
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            return (level, kind, data[:16] + bytes(4))
    raise ValueError("the kernel did not say where the datagram came to")


def udp(name, address, port, *words):
    s = open_socket(socket.SOCK_DGRAM, address, port, words)
    while True:
        data, ancillary, _, peer = s.recvmsg(65536, 512)
        if "silent" in words:
            print(len(data), socket.inet_ntop(socket.AF_INET, ancillary[0][2][8:12]), flush=True)
        else:
            s.sendmsg([f"{name} {len(data)}".encode()], [source(ancillary)], 0, peer)


def ask_tcp(address, port):
    with socket.create_connection((address, int(port)), 2) as s:
        return b"".join(iter(lambda: s.recv(4096), b"")).decode().strip()


def ask_udp(address, port, size):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((address, int(port)))
        s.send(bytes(size))
        return s.recv(65536).decode()


def ask(address, port, n="1", size="0"):
    answers = collections.Counter()
    for _ in range(int(n)):
        try:
            answers[ask_udp(address, port, int(size)) if int(size) else ask_tcp(address, port)] += 1
        except OSError as e:
            answers[type(e).__name__] += 1
    for answer, n in sorted(answers.items()):
        print(n, answer)


if __name__ == "__main__":
    {"tcp": tcp, "udp": udp, "ask": ask}[sys.argv[1]](*sys.argv[2:])
