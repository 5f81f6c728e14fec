/* python.exe: what is left of it is in the library. */
__declspec(dllimport) int Py_Main(int, unsigned short **);

int wmain(int count, unsigned short **words) { return Py_Main(count, words); }
