package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Query selects entries of a record. The zero value selects all.
type Query struct {
	Mailbox string // or the user name that a client sent
	Since   time.Time
	Failed  bool // only failures
	Last    int  // only the newest ones of those selected; 0: all
}

func (q *Query) picks(e *Entry) bool {
	return !e.Time.Before(q.Since) && (!q.Failed || !e.OK()) &&
		(q.Mailbox == "" || strings.EqualFold(q.Mailbox, e.Mailbox) || strings.EqualFold(q.Mailbox, e.User))
}

// maxLine is far above the length of any entry; a longer line is damaged.
const maxLine = 16 << 10

// Read returns the entries that a query selects, the newest last. A
// record that does not exist has none. Lines that cannot be read, such as one
// that a crash cut short, are left out.
func Read(dir string, q Query) ([]Entry, error) {
	var all []Entry
	for _, kind := range []string{succeeded, failed} {
		if kind == succeeded && q.Failed {
			continue
		}
		entries, err := readKind(dir, kind, q)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return q.newest(all), nil
}

func (q *Query) newest(entries []Entry) []Entry {
	if q.Last > 0 && len(entries) > q.Last {
		return entries[len(entries)-q.Last:]
	}
	return entries
}

// readKind reads the two files of a kind. The newer one is opened first: if it
// is rotated meanwhile, both are the same file, which is noticed. In the other order
// it would be missed.
func readKind(dir, kind string, q Query) ([]Entry, error) {
	latest, latestInfo, err := openToRead(newest(dir, kind))
	if err != nil {
		return nil, err
	}
	defer latest.Close()
	old, oldInfo, err := openToRead(before(dir, kind))
	if err != nil {
		return nil, err
	}
	defer old.Close()
	var entries []Entry
	keep := func(e Entry) {
		if !q.picks(&e) {
			return
		}
		if entries = append(entries, e); q.Last > 0 && len(entries) > 2*q.Last+1000 {
			entries = slices.Clone(q.newest(entries)) // a record may be larger than memory
		}
	}
	files := []*os.File{old, latest}
	if oldInfo != nil && latestInfo != nil && os.SameFile(oldInfo, latestInfo) {
		files = files[:1]
	}
	for _, f := range files {
		if f == nil {
			continue
		}
		if err := readLines(f, keep); err != nil {
			return nil, fmt.Errorf("reading the record of logins: %w", err)
		}
	}
	return entries, nil
}

// openToRead opens a file of the record; nil if there is none.
func openToRead(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening the record of logins: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("opening the record of logins: %w", err)
	}
	return f, info, nil
}

// readLines calls keep for each line that can be read.
func readLines(r io.Reader, keep func(Entry)) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // damage: skip to its end
			line = nil
			_, err = lines.ReadSlice('\n')
		}
		if e, ok := parseLine(line); ok && err == nil {
			keep(e)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil // the rest has no line end: it is being written, or was cut
		case err != nil:
			return err
		}
	}
}

// parseLine reads a line, unless it is damaged.
func parseLine(line []byte) (Entry, bool) {
	var e Entry
	if len(line) == 0 || json.Unmarshal(line, &e) != nil {
		return Entry{}, false
	}
	return e, !e.Time.IsZero() && e.Result != "" && e.Count >= 0
}
