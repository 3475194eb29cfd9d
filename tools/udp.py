#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Datagrams for the lab.

udp.py answer NAME ADDRESS PORT       answers every datagram with NAME and its length, from ADDRESS
udp.py ask ADDRESS PORT N [BYTES]     asks N times, each from a port of its own, and prints the answers ("lost" for none)
"""

import socket
import sys

IP_FREEBIND = 15


def open_socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def answer(name, address, port):
    s = open_socket(address)
    s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    s.bind((address, int(port)))
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(f"{name} {len(data)}".encode(), peer)


def ask(address, port, n, size="1"):
    for _ in range(int(n)):
        with open_socket(address) as s:
            s.settimeout(1)
            s.connect((address, int(port)))
            try:
                s.send(b"x" * int(size))
                print(s.recv(65536).decode(), flush=True)
            except OSError:
                print("lost", flush=True)


if __name__ == "__main__":
    {"answer": answer, "ask": ask}[sys.argv[1]](*sys.argv[2:])
