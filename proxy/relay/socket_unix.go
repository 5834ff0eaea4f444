//go:build unix

package relay

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// socket reads and writes a socket without waiting. Its three callbacks are made
// once, because a closure for each read would be garbage for each read. One
// goroutine may read and one may write at a time.
type socket struct {
	raw syscall.RawConn

	in      call
	drained bool // the last read took all there was
	woken   bool
	peeked  error // found by wait instead of bytes: a socket reports an error once
	prompt  bool  // acknowledge what has been read before waiting for more
	one     [1]byte

	out  call
	last bool // the write may wait

	tryRead, peek, tryWrite func(fd uintptr) bool
}

// call is a system call: its arguments and results.
type call struct {
	p, q []byte // read: q takes what does not fit p
	n    int
	err  error
}

func newSocket(c net.Conn) *socket {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.tryRead, s.peek, s.tryWrite = s.doRead, s.doPeek, s.doWrite
	return s
}

// read fills p and then q. It returns errIdle where read(2) would block, and after
// a read that did not fill them without a system call: wait finds out whether more
// has arrived.
func (s *socket) read(p, q []byte) (int, error) {
	switch {
	case s.peeked != nil:
		return 0, s.peeked
	case s.drained:
		return 0, errIdle
	}
	s.in.p, s.in.q = p, q
	err := s.raw.Read(s.tryRead)
	s.in.p, s.in.q = nil, nil
	switch {
	case err != nil:
		return 0, err
	case s.in.err == syscall.EAGAIN:
		return 0, errIdle
	case s.in.err != nil:
		return 0, os.NewSyscallError("read", s.in.err)
	case s.in.n == 0:
		return 0, io.EOF
	}
	s.drained = s.in.n < len(p)+len(q)
	return s.in.n, nil
}

func (s *socket) doRead(fd uintptr) bool {
	for {
		s.in.n, s.in.err = readBoth(int(fd), s.in.p, s.in.q)
		if s.in.err != syscall.EINTR {
			return true
		}
	}
}

// wait parks until the socket is readable, closed or past its read deadline.
// RawConn.Read forgets readiness noticed before it was called, so the callback has
// to look before it asks to be parked, or bytes that arrived since the last read
// would not wake it. It need not look again after: if it was woken for nothing,
// read returns errIdle and wait is called again.
func (s *socket) wait() error {
	s.drained, s.woken = false, false
	return s.raw.Read(s.peek)
}

func (s *socket) doPeek(fd uintptr) bool {
	if s.woken {
		return true
	}
	s.woken = true
	for {
		_, _, err := syscall.Recvfrom(int(fd), s.one[:], syscall.MSG_PEEK)
		switch err {
		case nil:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if s.prompt {
				acknowledge(int(fd))
			}
			return false
		default:
			s.peeked = os.NewSyscallError("read", err)
		}
		return true
	}
}

// write writes all of p. Only when the socket accepts no more does it set a
// deadline, stall from then, and again after each progress.
func (s *socket) write(c net.Conn, p []byte, stall time.Duration) (n int, err error) {
	s.last = false
	for n < len(p) {
		s.out.p = p[n:]
		err = s.raw.Write(s.tryWrite)
		s.out.p = nil
		if err == nil && s.out.err != nil && s.out.err != syscall.EAGAIN {
			err = os.NewSyscallError("write", s.out.err)
		}
		if err != nil {
			return n, err
		}
		n += max(s.out.n, 0)
		if n < len(p) {
			s.last = true
			if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
				return n, err
			}
		}
	}
	if s.last {
		err = c.SetWriteDeadline(time.Time{})
	}
	return n, err
}

func (s *socket) doWrite(fd uintptr) bool {
	for {
		s.out.n, s.out.err = syscall.Write(int(fd), s.out.p)
		if s.out.err != syscall.EINTR {
			return s.out.err != syscall.EAGAIN || !s.last
		}
	}
}
