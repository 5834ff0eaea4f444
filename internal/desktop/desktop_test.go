package desktop

import "testing"

func TestTunnel(t *testing.T) {
	for _, test := range []struct {
		here           Desktop
		redirect, want string
	}{
		{Desktop{host: "mail.example.org"}, "http://127.0.0.1:4000", "ssh -N -L 4000:127.0.0.1:4000 mail.example.org"},
		{Desktop{host: "192.0.2.7", sshPort: "22", user: "you"}, "http://localhost:4000", "ssh -N -L 4000:127.0.0.1:4000 you@192.0.2.7"},
		{Desktop{host: "2001:db8::7", sshPort: "2222", user: "you"}, "http://[::1]:4000", "ssh -N -L 4000:[::1]:4000 -p 2222 you@2001:db8::7"},
	} {
		if got := test.here.Tunnel(test.redirect); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
