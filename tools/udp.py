#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Datagrams for the lab.

udp.py answer NAME ADDRESS PORT       answers every datagram with NAME and its length, from ADDRESS
udp.py ask ADDRESS PORT N [BYTES]     asks N times, each from a port of its own, and prints the answers ("lost" for none)
udp.py move AT ADDRESS PORT EVERY SOURCE...  passes on what one client sends to loopback's port AT, as a NAT whose mapping
                                      moves: after each EVERY datagrams from another port and the next SOURCE, and says so
"""

import itertools
import select
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


class Nat:
    def __init__(self, at, address, port, every, sources):
        self.inside = open_socket(address)
        self.inside.bind(("::1" if ":" in address else "127.0.0.1", at))
        self.outside = []
        self.to, self.every, self.sources = (address, port), every, itertools.cycle(sources)
        self.client, self.passed = None, 0

    def renew(self):
        self.outside.append(open_socket(self.to[0]))
        self.outside[-1].bind((next(self.sources), 0))
        self.outside[-1].connect(self.to)
        print("from", *self.outside[-1].getsockname()[:2], flush=True)

    def pass_on(self, s):
        data, peer = s.recvfrom(65536)
        if s is not self.inside:  # what is under way to an old mapping still arrives
            self.inside.sendto(data, self.client)
            return
        if self.passed % self.every == 0:
            self.renew()
        self.client, self.passed = peer, self.passed + 1
        self.outside[-1].send(data)


def move(at, address, port, every, *sources):
    nat = Nat(int(at), address, int(port), int(every), sources)
    while True:
        for s in select.select([nat.inside] + nat.outside, [], [])[0]:
            try:
                nat.pass_on(s)
            except ConnectionRefusedError:  # one end is gone; the other will find out
                pass


if __name__ == "__main__":
    {"answer": answer, "ask": ask, "move": move}[sys.argv[1]](*sys.argv[2:])
