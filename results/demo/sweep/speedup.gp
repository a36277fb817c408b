# Speedup at equal reward.  Change it as you like and draw it again:
#   gnuplot speedup.gp >speedup.svg
#   gnuplot -c speedup.gp png >speedup.png
if (exists("ARGC") && ARGC > 0) {
    set terminal pngcairo size 1040,664 noenhanced font "sans-serif,22" linewidth 2 pointscale 2 background "white"
} else {
    set terminal svg size 520,332 noenhanced font "sans-serif,14" background "white"
}
set linetype 1 linecolor rgb "#0072b2"
set linetype 2 linecolor rgb "#d55e00"
set linetype 3 linecolor rgb "#009e73"
set linetype 4 linecolor rgb "#cc79a7"
set linetype 5 linecolor rgb "#e69f00"
set linetype 6 linecolor rgb "#56b4e9"
set linetype 7 linecolor rgb "#000000"
set linetype 8 linecolor rgb "#999999"
set linetype cycle 8
set grid linetype 1 linecolor rgb "#e4e4e4"
set border linecolor rgb "#555555"
set key below left Left reverse samplen 2 height 0.5
$measured << END
2.51452 2.4399 2.59215 1
2.8184 2.74396 2.90107 2
2.97742 2.70742 3.19284 3
3.02763 2.43255 3.48668 4
3.89783 3.78591 4.02163 5
4.44532 4.29893 4.6008 6
4.22356 3.58023 4.68967 7
1.88251 1.64431 2.35704 8
END
$bounds << END
END
$open_ends << END
1.64431 -1 8
END
set ytics ('Rejection, N 60, alpha 0.3' 1, 'Rejection, N 60, alpha 0.5' 2, 'Rejection, N 60, alpha 0.7' 3, 'Rejection, N 60, alpha 0.9' 4, 'Rejection, N 120, alpha 0.3' 5, 'Rejection, N 120, alpha 0.5' 6, 'Rejection, N 120, alpha 0.7' 7, 'Rejection, N 120, alpha 0.9' 8) scale 0
set yrange [8.6:0.4]
set lmargin 24
set xrange [0.666667:7.0345]
set logscale x 2
set xlabel "speedup at equal reward (Best-of-N = 1)"
set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb "#555555" dashtype 2
plot $measured using 1:4:2:3 with xerrorbars linetype 1 pointtype 7 title "speedup", \
     $open_ends using 1:3:($1 * 1.3 ** $2 - $1):(0) with vectors filled head linetype 1 notitle
