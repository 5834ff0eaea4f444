package proxy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

func binaryHeader(t testing.TB, rest string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return proxySignature + string(b)
}

// TestProxyHeader reads headers in one piece and byte by byte; what follows them
// is not touched.
func TestProxyHeader(t *testing.T) {
	four, six := "192.0.2.7:56324", "[2001:db8::7]:56324"
	for _, tt := range []struct {
		name, header, client string
		local                bool
	}{
		{"text, IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 993\r\n", four, false},
		{"text, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 56324 993\r\n", six, false},
		{"text, mapped", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 56324 993\r\n", four, false},
		{"text, unknown", "PROXY UNKNOWN\r\n", "", false},
		{"text, unknown with addresses", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "", false},
		{"binary, IPv4", binaryHeader(t, "21 11 000c c0000207 c6336401 dc04 03e1"), four, false},
		{"binary, IPv6", binaryHeader(t, "21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 dc04 03e1"), six, false},
		{"binary, mapped", binaryHeader(t, "21 21 0024 00000000000000000000ffffc0000207 00000000000000000000ffffc6336401 dc04 03e1"), four, false},
		{"binary, more to tell", binaryHeader(t, "21 11 0010 c0000207 c6336401 dc04 03e1 04000100"), four, false},
		{"binary, 64 kB", binaryHeader(t, "21 11 ffff c0000207 c6336401 dc04 03e1"+strings.Repeat("04", 0xffff-12)), four, false},
		{"binary, local", binaryHeader(t, "20 00 0000"), "", true},
		{"binary, local with addresses", binaryHeader(t, "20 11 000c c0000207 c6336401 dc04 03e1"), "", true},
		{"binary, unspecified", binaryHeader(t, "21 00 0003 010203"), "", false},
		{"binary, a Unix socket", binaryHeader(t, "21 31 00d8"+strings.Repeat("61", 216)), "", false},
		{"binary, UDP", binaryHeader(t, "21 12 000c c0000207 c6336401 dc04 03e1"), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				whole := strings.NewReader(tt.header + "\x16\x03\x01 and more")
				var r io.Reader = whole
				if slow {
					r = iotest.OneByteReader(whole)
				}
				in, err := parseProxyHeader(r)
				if err != nil {
					t.Fatal(err)
				}
				want := proxyHeader{local: tt.local}
				if tt.client != "" {
					want.client = netip.MustParseAddrPort(tt.client)
				}
				if in != want {
					t.Errorf("got %+v, want %+v", in, want)
				}
				if rest, _ := io.ReadAll(r); string(rest) != "\x16\x03\x01 and more" {
					t.Errorf("left %q", rest)
				}
			}
		})
	}
}

func TestProxyHeaderRefuses(t *testing.T) {
	for _, header := range []string{
		"a LOGIN you hunter2\r\n", "\x16\x03\x01\x02\x00\x01", "GET / HTTP/1.1\r\n", "PROXY", "\r\n\r\nx",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 993\n",
		"PROXY TCP4 2001:db8::7 2001:db8::1 56324 993\r\n", "PROXY TCP6 192.0.2.7 198.51.100.1 56324 993\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 65536 993\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 993\r\n", "PROXY UDP4 192.0.2.7 198.51.100.1 1 993\r\n",
		"PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "PROXY UNKNOWN", "PROXY \r\n\r\n\r\n\r\n",
		binaryHeader(t, "11 11 000c c0000207 c6336401 dc04 03e1"), binaryHeader(t, "22 00 0000"),
		binaryHeader(t, "21 11 000b c0000207 c6336401 dc04 03"), binaryHeader(t, "21 21 000c c0000207 c6336401 dc04 03e1"),
		binaryHeader(t, "21 11 000c c0000207"), binaryHeader(t, "21 11 0010 c0000207 c6336401 dc04 03e1"), proxySignature,
	} {
		in, err := parseProxyHeader(strings.NewReader(header))
		if err == nil {
			t.Errorf("%q is taken for %+v", header, in)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password in %q", err)
		}
	}
}

// FuzzProxyHeader: a header is read up to the end that it declares, in one piece or in
// many, and everything accepted begins as a header does.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 993\r\nrest", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n",
		binaryHeader(f, "21 11 000c c0000207 c6336401 dc04 03e1") + "rest", binaryHeader(f, "20 00 0000"), "EHLO x\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		in, err := parseProxyHeader(r)
		used := b[:len(b)-r.Len()]
		slow := bytes.NewReader(b)
		again, errAgain := parseProxyHeader(iotest.OneByteReader(slow))
		if again != in || (err == nil) != (errAgain == nil) {
			t.Fatalf("%+v, %v; in pieces %+v, %v", in, err, again, errAgain)
		}
		if err != nil {
			if in != (proxyHeader{}) && !errors.Is(err, errProxyHeader) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return
		}
		if text, ok := strings.CutPrefix(string(used), "PROXY "); ok {
			if strings.Index(text, "\n") != len(text)-1 {
				t.Errorf("read %q", used)
			}
		} else if !bytes.HasPrefix(used, []byte(proxySignature)) || len(used) != 16+int(used[14])<<8+int(used[15]) {
			t.Errorf("read %x", used)
		}
		if in.client.IsValid() && in.client.Addr().Is4In6() {
			t.Errorf("%v is IPv4 written as IPv6", in.client)
		}
	})
}
