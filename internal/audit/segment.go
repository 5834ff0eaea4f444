package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// segment is the newer file of one kind, which becomes the older one when it is
// full.
type segment struct {
	dir, kind string
	file      *os.File // nil: not open
	size      int64
	torn      bool // the file may end within a line
	trouble   bool // the last write failed
}

// writeTo writes to the disk. It is a variable so that tests can simulate a full disk.
var writeTo = (*os.File).Write

// append writes lines, at most the newest file's share of the bound each time.
func (s *segment) append(lines [][]byte, most int64) error {
	for len(lines) > 0 {
		if err := s.open(); err != nil {
			return err
		}
		if s.size > 0 && s.size+int64(len(lines[0])) > most {
			if err := s.rotate(); err != nil {
				return err
			}
			continue
		}
		var piece []byte
		if s.torn {
			piece = append(piece, '\n')
		}
		n := 0
		for n < len(lines) && (n == 0 || s.size+int64(len(piece)+len(lines[n])) <= most) {
			piece = append(piece, lines[n]...)
			n++
		}
		wrote, err := writeTo(s.file, piece)
		s.size += int64(wrote)
		if err != nil {
			s.torn = s.torn || wrote > 0
			return fmt.Errorf("writing to %s: %w", s.file.Name(), err)
		}
		s.torn = false
		lines = lines[n:]
	}
	return nil
}

// open ensures that the file is open and still the one of its name: a person may
// have removed it.
func (s *segment) open() error {
	path := newest(s.dir, s.kind)
	if s.file != nil {
		mine, err := s.file.Stat()
		named, nameErr := os.Stat(path)
		if err == nil && nameErr == nil && os.SameFile(mine, named) {
			return nil
		}
		s.close()
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of the record: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the record: %w", err)
	}
	size, torn, err := endOf(file)
	if err != nil {
		file.Close()
		return fmt.Errorf("opening the record %s: %w", path, err)
	}
	s.file, s.size, s.torn = file, size, torn
	return nil
}

// endOf returns the length of a file, and whether it ends within a line, as it does
// after a crash.
func endOf(file *os.File) (size int64, torn bool, err error) {
	size, err = file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return size, false, err
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], size-1)
	return size, last[0] != '\n', err
}

// rotate makes the newer file the older one, whose content is dropped.
func (s *segment) rotate() error {
	s.close() // Windows renames no open file
	err := os.Rename(newest(s.dir, s.kind), before(s.dir, s.kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making room in the record: %w", err)
	}
	return nil
}

func (s *segment) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}
