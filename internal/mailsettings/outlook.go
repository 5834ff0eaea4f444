package mailsettings

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// profileKey is a line of a .prf file: a setting of an account, with the MAPI
// property and type that Outlook stores it as.
type profileKey struct {
	name, kind string
	property   int
	value      any
}

const (
	prfText   = "PT_UNICODE"
	prfNumber = "PT_LONG"
)

// OutlookProfile returns a .prf file for Outlook 2003 to 2019, which "outlook.exe
// /importprf" reads. The format has no password. Versions installed by click-to-run
// are reported to ignore IMAP accounts in it.
func OutlookProfile(address string, services []Service, local bool) ([]byte, error) {
	r := reachOf(local)
	// The format has no STARTTLS for the incoming side.
	incoming := slices.DeleteFunc(slices.Concat(public(services, protocol.IMAP, r), public(services, protocol.POP3, r)),
		func(s Service) bool { return s.Security == proxy.StartTLS })
	outgoing := public(services, protocol.SMTP, r)
	if domainOf(address) == "" || len(incoming) == 0 || len(outgoing) == 0 {
		return nil, errNoServer
	}
	kind, section := "IMAP", "IMAP_I_Mail"
	if incoming[0].Protocol == protocol.POP3 {
		kind, section = "POP3", "I_Mail"
	}
	keys := outlookAccount(kind, address, incoming[0], outgoing[0])
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("; Import it by outlook.exe /importprf. Outlook asks for the password.")
	line("[General]\r\nCustom=1\r\nProfileName=%s\r\nDefaultProfile=Yes\r\nOverwriteProfile=Append\r\nModifyDefaultProfileIfPresent=FALSE\r\n", address)
	line("[Service List]\r\nService1=Outlook Address Book\r\n")
	line("[Internet Account List]\r\nAccount1=%s\r\n", section)
	line("[Account1]\r\nUniqueService=No")
	for _, k := range keys {
		line("%s=%v", k.name, k.value)
	}
	line("\r\n[Service1]\r\nUniqueService=Yes\r\n")
	line("[Outlook Address Book]\r\nServiceName=CONTAB\r\n")
	line("[%s]\r\nAccountType=%s", section, kind)
	for _, k := range keys {
		line("%s=%s,0x%04X", k.name, k.kind, k.property)
	}
	return outlookText(b.String()), nil
}

// outlookAccount returns the settings of one account. kind is "IMAP" or "POP3".
func outlookAccount(kind, address string, in, out Service) []profileKey {
	secure := func(s Service) int {
		if s.Security == proxy.Plain {
			return 0
		}
		return 1
	}
	// Outlook 2010 and later read SMTPSecureConnection, those before SMTPUseSSL.
	sending := map[proxy.Security]int{proxy.Plain: 0, proxy.Implicit: 1, proxy.Either: 1, proxy.StartTLS: 2}[out.Security]
	keys := []profileKey{
		{"AccountName", prfText, 0x0002, address},
		{"DisplayName", prfText, 0x000B, address},
		{"EmailAddress", prfText, 0x000C, address},
		{kind + "Server", prfText, 0x0100, in.Host},
		{kind + "UserName", prfText, 0x0101, address},
		{kind + "Port", prfNumber, 0x0104, in.Port},
		{kind + "UseSSL", prfNumber, 0x0105, secure(in)},
		{kind + "UseSPA", prfNumber, 0x0108, 0},
		{"SMTPServer", prfText, 0x0200, out.Host},
		{"SMTPPort", prfNumber, 0x0201, out.Port},
		{"SMTPUseSSL", prfNumber, 0x0202, secure(out)},
		{"SMTPUseAuth", prfNumber, 0x0203, 1},
		{"SMTPUserName", prfText, 0x0204, address},
		{"SMTPUseSPA", prfNumber, 0x0207, 0},
		{"SMTPAuthMethod", prfNumber, 0x0208, 0}, // as the incoming server
		{"SMTPSecureConnection", prfNumber, 0x020A, sending},
		{"ConnectionType", prfNumber, 0x000F, 0}, // the network
	}
	if kind == "POP3" { // otherwise Outlook empties the mailbox
		keys = append(keys, profileKey{"LeaveOnServer", prfNumber, 0x1000, 1})
	}
	return keys
}

// outlookText returns a text as old programs on Windows read it: in ASCII if
// possible, otherwise in UTF-16 with a byte order mark.
func outlookText(s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f }) {
		return []byte(s)
	}
	content := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		content = binary.LittleEndian.AppendUint16(content, unit)
	}
	return content
}
