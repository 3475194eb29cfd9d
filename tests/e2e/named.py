#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers that say their name, and clients of many kinds that ask for it.

named.py serve NAME PORT             answers every line, and every datagram, with NAME, over both families
named.py dns NUMBER                  answers every question on port 53 with the address 10.0.0.NUMBER
named.py hold ADDRESS PORT FILE      keeps one connection of TCP, asks four times a second, and writes each answer to FILE
named.py look ADDRESS PORT           what a socket is shown of a service, connected and not, over TCP and UDP
named.py ask ADDRESS PORT            asks once
named.py load ADDRESS PORT N FILE    N clients that ask all the time and retry once: a fourth connects for every question, a
                                     fourth keeps its TCP connection, a fourth a UDP one, a fourth sends without any. Each line
                                     of FILE is "END_TIME KIND NAME", NAME is "error:..." if the second try failed, too
"""

import os
import selectors
import socket
import struct
import sys
import threading
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# ---- servers ----


def bind_both(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", int(port)))
    if kind == socket.SOCK_STREAM:
        s.listen(1024)
    s.setblocking(False)
    return s


def answer_datagrams(s, answer):
    data, peer = s.recvfrom(4096)
    s.sendto(answer(data), peer)


def answer_lines(conn, loop, name):
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(name * data.count(b"\n"))
            return
    except OSError:
        pass
    loop.unregister(conn)
    conn.close()


def serve(name, port):
    name = name.encode() + b"\n"
    loop = selectors.DefaultSelector()
    tcp, udp = bind_both(socket.SOCK_STREAM, port), bind_both(socket.SOCK_DGRAM, port)
    loop.register(tcp, selectors.EVENT_READ)
    loop.register(udp, selectors.EVENT_READ)
    while True:
        for key, _ in loop.select():
            if key.fileobj is tcp:
                loop.register(tcp.accept()[0], selectors.EVENT_READ)
            elif key.fileobj is udp:
                answer_datagrams(udp, lambda data: name)
            else:
                answer_lines(key.fileobj, loop, name)


def dns(number):
    def reply(question):
        end = question.index(b"\0", 12) + 5  # the name, its type and class
        record = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 0, 4, 10, 0, 0, int(number))
        return question[:2] + struct.pack("!HHHHH", 0x8580, 1, 1, 0, 0) + question[12:end] + record

    s = bind_both(socket.SOCK_DGRAM, 53)
    s.setblocking(True)
    while True:
        answer_datagrams(s, reply)


# ---- clients ----


class Client:
    """Asks once; anything that goes wrong is an OSError, and leaves nothing to go on with."""

    kind, keeps, connects = socket.SOCK_STREAM, True, True

    def __init__(self, address, port):
        self.to, self.socket = (address, int(port)), None

    def open(self):
        self.socket = socket.socket(family(self.to[0]), self.kind)
        self.socket.settimeout(3 if self.kind == socket.SOCK_STREAM else 1)
        if self.connects:
            self.socket.connect(self.to)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def ask(self):
        if not self.socket:
            self.open()
        if self.connects:
            self.socket.sendall(b"?\n")
            name, peer = self.socket.recv(100), self.socket.getpeername()
        else:
            self.socket.sendto(b"?\n", self.to)
            name, peer = self.socket.recvfrom(100)
        if not name:
            raise ConnectionResetError("closed")
        if peer[:2] != self.to:
            raise OSError(f"shown {peer[:2]}, not {self.to}")
        if not self.keeps:
            self.close()
        return name.decode().strip()


class Once(Client):
    keeps = False


class Connected(Client):
    kind = socket.SOCK_DGRAM


class Loose(Client):
    kind, connects = socket.SOCK_DGRAM, False

    def close(self):
        """Sends on from the socket that it has."""


def ask_or_retry(client):
    try:
        return client.ask()
    except OSError:
        client.close()
    try:
        return client.ask()
    except OSError as e:
        client.close()
        return f"error:{e}".replace(" ", "_")


def keep_asking(client, out):
    kind = type(client).__name__
    while True:
        name = ask_or_retry(client)
        os.write(out, f"{time.time():.6f} {kind} {name}\n".encode())
        time.sleep(0.05)


def load(address, port, n, file):
    kinds = [Once, Client, Connected, Loose]
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for i in range(int(n)):
        threading.Thread(target=keep_asking, args=(kinds[i % 4](address, port), out), daemon=True).start()
    while True:
        time.sleep(1)


def hold(address, port, file):
    client = Client(address, port)
    with open(file, "a", buffering=1) as out:
        while True:
            try:
                print(client.ask(), file=out)
            except OSError as e:
                print(f"error: {e}", file=out)
                return
            time.sleep(0.25)


def ask(address, port):
    print(Client(address, port).ask())


def look(address, port):
    for kind in Client, Connected, Loose:
        print(kind.__name__, kind(address, port).ask())  # it has compared what it is shown


if __name__ == "__main__":
    {"serve": serve, "dns": dns, "load": load, "hold": hold, "look": look, "ask": ask}[sys.argv[1]](*sys.argv[2:])
