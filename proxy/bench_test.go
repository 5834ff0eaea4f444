package proxy

func runAsProxy() bool { return false }
