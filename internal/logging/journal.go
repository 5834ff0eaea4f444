package logging

import (
	"io"
	"os"
	"strconv"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// prioritized begins each line with its priority, as the journal expects from a
// service: sd-daemon(3). `journalctl -p warning` uses it.
type prioritized struct{ zapcore.Encoder }

func (p prioritized) Clone() zapcore.Encoder { return prioritized{p.Encoder.Clone()} }

var lines = buffer.NewPool()

func (p prioritized) EncodeEntry(e zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := p.Encoder.EncodeEntry(e, fields)
	if err != nil {
		return nil, err
	}
	defer line.Free()
	out := lines.Get()
	out.AppendByte('<')
	out.AppendInt(int64(priority(e.Level)))
	out.AppendByte('>')
	_, err = out.Write(line.Bytes())
	return out, err
}

// priority returns a level as a number of syslog(3).
func priority(l zapcore.Level) int {
	switch {
	case l >= zapcore.DPanicLevel:
		return 2 // critical
	case l == zapcore.ErrorLevel:
		return 3
	case l == zapcore.WarnLevel:
		return 4
	case l == zapcore.InfoLevel:
		return 6
	}
	return 7
}

// toJournal reports whether a stream goes to the journal. systemd names the
// device and the inode of the stream it made, and the program may have been
// started with another one since.
func toJournal(w io.Writer, stream string) bool {
	f, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	device, inode, ok := identity(f)
	return ok && stream == strconv.FormatUint(device, 10)+":"+strconv.FormatUint(inode, 10)
}
