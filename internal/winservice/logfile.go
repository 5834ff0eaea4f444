package winservice

import (
	"os"
	"sync"
)

// logFile is a log that rotates: a full one replaces NAME.1. Windows has no service
// that rotates logs.
type logFile struct {
	path string
	full int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func openLogFile(path string, full int64) (*logFile, error) {
	l := &logFile{path: path, full: full}
	return l, l.open()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write writes a line. If the full file cannot be replaced, the line is written all
// the same: a viewer that has the file open can prevent the replacement.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(line)) > l.full {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

func (l *logFile) rotate() error {
	if err := l.file.Close(); err != nil { // Windows renames no open files
		return err
	}
	kept := os.Rename(l.path, l.path+".1")
	if err := l.open(); err != nil {
		return err
	}
	if kept != nil {
		l.size = 0 // do not try again at each line
	}
	return nil
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
